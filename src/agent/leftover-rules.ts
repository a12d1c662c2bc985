/**
 * Finds and removes what enrolment left in pods' network namespaces when no agent runs any more: for `uninstall`.
 * Looks into every namespace that some process of this machine is in.
 */
import { execFile } from 'node:child_process';
import { readdir, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { NativeBinding } from '../native/binding.ts';
import { marker, netnsRules } from './netns-rules.ts';

const run = promisify(execFile);

interface Namespace {
  readonly path: string;
  /** `net:[4026531840]`: the kernel's name of it. */
  readonly name: string;
}

/** Lines for people, one a namespace that still has a rule of ours. */
export async function findLeftoverRules(): Promise<readonly string[]> {
  const found = await namespacesWithRules();
  return found.map(({ name, path }) => `rule and route for ${marker} in ${name} (${path})`);
}

export async function removeLeftoverRules(native: NativeBinding): Promise<void> {
  const rules = netnsRules(native);
  for (const { path } of await namespacesWithRules()) await rules.remove(path);
}

async function namespacesWithRules(): Promise<readonly Namespace[]> {
  const all = await namespaces();
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
