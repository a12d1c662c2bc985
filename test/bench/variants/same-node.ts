/** Two pods of one node, unmeshed, over HBONE, or on the kernel path, accelerated or not: the node program of that node is the proxy. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cli, meshPid } from '../lab.ts';
import { enrolledNamespace, sharedNode } from '../manifest.ts';
import { output } from '../process.ts';
import type { Variant, VariantContext, withinNode } from './variant.ts';

export const sameNode =
  (id: (typeof withinNode)[number]) =>
  async ({ client, server, directory }: VariantContext): Promise<Variant> => {
    const pids = id === 'node-none' ? [] : [await meshPid(sharedNode)];
    const asks = id === 'node-kernel' || id === 'node-large';
    return {
      id,
      client,
      host: server.ip,
      proxies: () => pids,
      ...(asks && { forget: takeBack(join(directory, 'change.yaml')) }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  };

const patienceMs = 20_000;

/** Any change of a policy takes every verdict back. */
const takeBack =
  (file: string): NonNullable<Variant['forget']> =>
  async (signal) => {
    writeFileSync(file, harmlessPolicy());
    await output([cli, 'lab', 'apply', '-f', file], patienceMs, signal);
    const ask = [cli, 'verdicts', '--node', sharedNode, '-o', 'json'] as const;
    for (const deadline = Date.now() + patienceMs; ;) {
      const { items } = JSON.parse(await output(ask, patienceMs, signal)) as { items: { state: string }[] };
      if (items.every(({ state }) => state === 'outdated')) return;
      if (Date.now() > deadline) throw new Error('the verdicts were not taken back');
      await delay(100, undefined, { signal });
    }
  };

let changes = 0;

/** It denies nobody; the port makes it another one each time. */
function harmlessPolicy(): string {
  changes += 1;
  const rule = { to: [{ operation: { ports: [String(20_000 + changes)] } }] };
  return JSON.stringify({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'bench-change', namespace: enrolledNamespace },
    spec: { action: 'DENY', rules: [rule] },
  });
}
