/**
 * Finds and removes what enrolment left in pods' network namespaces when no agent runs any more: for `uninstall`.
 * Looks into every namespace that some process of this machine is in, but not into those that another installation with
 * the same kernel captures.
 */
import { execFile } from 'node:child_process';
import { readdir, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { NativeBinding } from '../native/binding.ts';
import { marker, netnsRules } from './netns-rules.ts';

const run = promisify(execFile);

type Inodes = ReadonlySet<bigint>;

interface Namespace {
  readonly path: string;
  /** `net:[4026531840]`: the kernel's name of it. */
  readonly name: string;
}

/** Lines for people, one a namespace that still has a rule of ours. */
export async function findLeftoverRules(others: Inodes): Promise<readonly string[]> {
  const found = await namespacesWithRules(others);
  return found.map(({ name, path }) => `rule and route for ${marker} in ${name} (${path})`);
}

export async function removeLeftoverRules(native: NativeBinding, others: Inodes): Promise<void> {
  const rules = netnsRules(native);
  for (const { path } of await namespacesWithRules(others)) await rules.remove(path);
}

async function namespacesWithRules(others: Inodes): Promise<readonly Namespace[]> {
  const all = (await namespaces()).filter(({ name }) => !others.has(inodeOf(name)));
  const marked = await Promise.all(all.map(async (one) => ((await hasRule(one.path)) ? [one] : [])));
  return marked.flat();
}

async function namespaces(): Promise<readonly Namespace[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const byName = new Map<string, string>();
  for (const pid of pids) {
    const path = `/proc/${pid}/ns/net`;
    const name = await readlink(path).catch(() => undefined);
    if (name !== undefined && !byName.has(name)) byName.set(name, path);
  }
  return [...byName].map(([name, path]) => ({ name, path }));
}

const inodeOf = (name: string): bigint => BigInt(/\d+/.exec(name)?.[0] ?? 0);

/** A namespace that cannot be looked into is going away. */
async function hasRule(netns: string): Promise<boolean> {
  for (const family of ['-4', '-6']) {
    const { stdout } = await run('nsenter', [`--net=${netns}`, '--', 'ip', family, 'rule', 'show']).catch(
      () => ({
        stdout: '',
      }),
    );
    if (stdout.includes(marker)) return true;
  }
  return false;
}
