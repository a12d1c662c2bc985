/** The capabilities(7) a node program needs; `daemonset/base/node.yaml` grants exactly these, and a test compares. */
import { readFileSync } from 'node:fs';
import { MeshError } from '../../base/errors.ts';

interface Capability {
  /** In the kernel's masks (linux/capability.h). */
  readonly bit: number;
  readonly why: string;
}

export const nodeCapabilities: Readonly<Record<string, Capability>> = {
  BPF: { bit: 39, why: 'loads BPF programs and maps' },
  PERFMON: { bit: 38, why: 'lets the verifier accept them' },
  NET_ADMIN: { bit: 12, why: 'attaches them, and sets up pods’ networks' },
  SYS_ADMIN: { bit: 21, why: 'enters pods’ network namespaces' },
  SYS_PTRACE: { bit: 19, why: 'finds pods’ network namespaces through their processes' },
};

/** Names of those that must be there and are not, in the text of /proc/PID/status. Pure. */
export function missingCapabilities(status: string): readonly string[] {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return Object.entries(nodeCapabilities)
    .filter(([, { bit }]) => (mask & (1n << BigInt(bit))) === 0n)
    .map(([name]) => name);
}

/** Before anything is touched: half a datapath would be worse than none. @throws MeshError PERMISSION */
export function requireCapabilities(): void {
  const missing = missingCapabilities(readFileSync('/proc/self/status', 'utf8'));
  if (missing.length === 0) return;
  const reasons = missing.map((name) => `CAP_${name} (${nodeCapabilities[name]?.why ?? ''})`);
  throw new MeshError('PERMISSION', `the node program may not do its work: it lacks ${reasons.join(', ')}`, {
    hint: 'run it as root; in a pod, see securityContext.capabilities in daemonset/base/node.yaml',
  });
}
