/** Whether this host can have a lab at all: asked before anything is made. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '../../base/errors.ts';
import { systemPath } from './run.ts';

const tools: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  nft: 'nftables',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  mount: 'mount',
  sleep: 'coreutils',
};

/**
 * @param more tools that this lab needs besides, with their packages
 * @throws MeshError PERMISSION without root, UNSUPPORTED when a tool is missing
 */
export function checkHost(more: Readonly<Record<string, string>> = {}): void {
  if (process.getuid?.() !== 0) {
    throw new MeshError('PERMISSION', 'the lab makes network namespaces and cgroups: it needs root', {
      hint: 'run it with sudo',
    });
  }
  const missing = Object.entries({ ...tools, ...more }).filter(([tool]) => !isInstalled(tool));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  throw new MeshError('UNSUPPORTED', `not installed: ${missing.map(([tool]) => tool).join(', ')}`, {
    hint: `apt-get install ${packages.join(' ')}`,
  });
}

const isInstalled = (tool: string): boolean =>
  systemPath.split(':').some((directory) => isExecutable(join(directory, tool)));

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
