/**
 * The three settings in a pod's network namespace that let ztunnel show an application its client's address without
 * rewriting packets: ztunnel's sockets carry a mark, the application's replies inherit it, and marked packets are
 * delivered locally instead of to the client's real address. Removed again when the pod leaves the mesh.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '../base/errors.ts';
import { sourceMark } from '../net/tunnel/dialer.ts';

/** The mark and the bits of it that are compared, as ip(8) writes them. */
const markAndMask = `0x${sourceMark.toString(16)}/0xfff`;
/** How `ip rule` shows our rule. */
export const marker = `fwmark ${markAndMask}`;
const routingTable = 100;

/**
 * ip-sysctl.rst: accepted sockets inherit the SYN's mark (`tcp_fwmark_accept`), and so do answers without a socket,
 * such as the RST of a closed port (`fwmark_reflect`). The other two let strict reverse-path filters, where a
 * distribution sets them, judge marked packets on `lo` by the marked route.
 */
const sysctls = [
  'ipv4/tcp_fwmark_accept',
  'ipv4/fwmark_reflect',
  'ipv4/conf/lo/src_valid_mark',
  'ipv4/conf/lo/accept_local',
];
const ipv6Sysctls = ['ipv6/fwmark_reflect'];

/** A container's own /proc/sys is read-only unless it is privileged; the manifests mount the node's here. */
const hostProc = '/host/proc';

/** What `/proc/sys/net` shows is that of the process that looks, whoever's /proc it is. */
const switchOn = 'for file; do echo 1 >"$file" || exit 1; done';

type Verb = 'add' | 'del';

/** Lines for `ip -batch`. */
const rulesBatch = (verb: Verb): string =>
  `rule ${verb} fwmark ${markAndMask} lookup ${routingTable}\nroute ${verb} local default dev lo table ${routingTable}\n`;

export interface NetnsRules {
  add(netns: string, families: readonly (4 | 6)[]): Promise<void>;
  remove(netns: string): Promise<void>;
}

/** Both are idempotent and throw MeshError NETNS naming what the kernel refused. */
export const netnsRules: NetnsRules = { add: addRules, remove: removeRules };

async function addRules(netns: string, families: readonly (4 | 6)[]): Promise<void> {
  const proc = existsSync(hostProc) ? hostProc : '/proc';
  const names = [...sysctls, ...(families.includes(6) ? ipv6Sysctls : [])];
  await inNetns(netns, 'sh', ['-c', switchOn, 'sysctl', ...names.map((name) => join(proc, 'sys/net', name))]);
  for (const family of families) await ipBatch(netns, family, rulesBatch('add'), /File exists/);
}

/** Leaves the sysctls: they change nothing without the mark. */
async function removeRules(netns: string): Promise<void> {
  const absent = /No such (file or directory|process)|not supported|does not exist/i;
  for (const family of [4, 6] as const) await ipBatch(netns, family, rulesBatch('del'), absent);
}

/** Every line is tried; complaints that match `harmless` mean that the state was already as wanted. */
async function ipBatch(netns: string, family: 4 | 6, batch: string, harmless: RegExp): Promise<void> {
  const complaints = await inNetns(netns, 'ip', [`-${family}`, '-force', '-batch', '-'], batch).then(
    () => '',
    (error: unknown) => (error instanceof CommandFailed ? error.stderr : Promise.reject(error)),
  );
  const real = complaints
    .split('\n')
    .filter((line) => !/^(Command failed -:\d+)?$/.test(line) && !harmless.test(line));
  if (real.length > 0) throw new MeshError('NETNS', `ip refused in ${netns}: ${real.join('; ')}`);
}

class CommandFailed extends MeshError {
  readonly stderr: string;

  constructor(command: string, reason: string, stderr: string) {
    super('NETNS', `${command}: ${stderr.trim() || reason}`, {
      hint: 'is iproute2 installed, and this process root?',
    });
    this.stderr = stderr;
  }
}

function inNetns(netns: string, command: string, args: readonly string[], input = ''): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      'nsenter',
      [`--net=${netns}`, '--', command, ...args],
      (error, _stdout, stderr) => {
        if (error === null) resolve();
        else reject(new CommandFailed(command, error.message, stderr));
      },
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}
