/** Network namespaces by name, through iproute2: run scripts in them, list ours, delete them. */
import { readdir } from 'node:fs/promises';
import { labPrefix, netnsDir, netnsPath } from '../layout.ts';
import { deleteNetnsScript } from '../plan/network-script.ts';
import { inNetns } from './enter.ts';
import { run } from './run.ts';

/** Runs `ip -batch` lines; in the namespace `netns`, or in the caller's own. */
export async function runIpScript(script: string, netns?: string): Promise<void> {
  const ip = ['ip', '-batch', '-'] as const;
  await run(netns === undefined ? ip : inNetns(netnsPath(netns), ip), { input: script });
}

/** Names of all namespaces that carry the lab's prefix. */
export async function labNamespaces(): Promise<readonly string[]> {
  const names = await readdir(netnsDir).catch(() => []);
  return names.filter((name) => name.startsWith(`${labPrefix}-`));
}

export async function deleteNamespaces(names: readonly string[]): Promise<void> {
  if (names.length > 0) await runIpScript(deleteNetnsScript(names));
}
