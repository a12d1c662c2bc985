/** Whether this machine can have a cluster: asked before anything is made. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import { systemPath } from '../../../src/lab/system/run.ts';

const tools = [
  'containerd',
  'ctr',
  'runc',
  'ip',
  'iptables',
  'nft',
  'nsenter',
  'unshare',
  'mount',
  'tar',
] as const;

/** @throws MeshError PERMISSION without root, UNSUPPORTED when a tool is missing */
export function checkHost(): void {
  if (process.getuid?.() !== 0) {
    throw new MeshError('PERMISSION', 'the cluster makes namespaces, mounts and cgroups: it needs root', {
      hint: 'run it with sudo',
    });
  }
  const missing = tools.filter((tool) => !isInstalled(tool));
  if (missing.length === 0) return;
  throw new MeshError('UNSUPPORTED', `not installed: ${missing.join(', ')}`, {
    hint: 'tools/install-deps.sh cluster',
  });
}

const isInstalled = (tool: string): boolean =>
  systemPath.split(':').some((directory) => {
    try {
      accessSync(join(directory, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
