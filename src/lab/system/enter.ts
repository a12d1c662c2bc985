/**
 * Command lines that start a program elsewhere: in a cgroup, a network namespace, a pod. Pure. Each link of the chain
 * becomes the next by exec, so the process started is, in the end, the program itself.
 */
import type { ProcessRef } from './process.ts';

export type Argv = readonly [string, ...string[]];

/** Moves itself into `cgroup`, then becomes `argv`. */
export const inCgroup = (cgroup: string, argv: Argv): Argv => [
  '/bin/sh',
  '-c',
  'echo $$ >"$0/cgroup.procs" && exec "$@"',
  cgroup,
  ...argv,
];

/** Only the network changes: files, /sys and mounts stay the host's. */
export const inNetns = (path: string, argv: Argv): Argv => ['nsenter', `--net=${path}`, '--', ...argv];

/** Joins everything a pod's holder has of its own: network, mounts (resolv.conf, hosts), host name. */
export const inPod = (holder: ProcessRef, argv: Argv): Argv => [
  'nsenter',
  `--target=${holder.pid}`,
  '--net',
  '--mount',
  '--uts',
  '--',
  ...argv,
];

export const inDirectory = (directory: string, argv: Argv): Argv => [
  '/bin/sh',
  '-c',
  'cd "$0" && exec "$@"',
  directory,
  ...argv,
];

/**
 * Starts `argv` again whenever it ends, a second later, as long as `mark` is there: what ends before it made its mark
 * cannot be started at all. `--after STATUS` tells the next one how the last one ended.
 */
export const keptRunning = (mark: string, argv: Argv): Argv => [
  '/bin/sh',
  '-c',
  '"$@"; status=$?; while [ -e "$0" ]; do sleep 1; "$@" --after "$status"; status=$?; done; exit "$status"',
  mark,
  ...argv,
];

export interface HolderFiles {
  /** Where the pod's files are; holds what it changes in /etc, if anything. */
  readonly dir: string;
  readonly resolvConf: string;
  readonly hosts: string;
  readonly hostname: string;
}

/**
 * A pod's holder: makes the pod's own mounts and host name, sets up its network from `ip -batch` lines on standard
 * input, says `ready`, and sleeps for as long as the pod lives. Mounts are slaves of the host's: what the host
 * unmounts (another pod's namespace) goes away here too, instead of being kept alive.
 */
export const holder = (netns: string, { dir, resolvConf, hosts, hostname }: HolderFiles): Argv =>
  inNetns(netns, [
    'unshare',
    '--mount',
    '--propagation=slave',
    '--uts',
    '/bin/sh',
    '-c',
    holderScript,
    dir,
    resolvConf,
    hosts,
    hostname,
  ]);

/** A bare Debian has no /etc/hosts to mount over: then the pod gets an /etc of its own above the host's. */
const holderScript = `
set -e
ip -batch -
if ! [ -e /etc/resolv.conf ] || ! [ -e /etc/hosts ]; then
  mkdir -p "$0/etc" "$0/work"
  mount -t overlay -o "lowerdir=/etc,upperdir=$0/etc,workdir=$0/work" overlay /etc
  for file in /etc/resolv.conf /etc/hosts; do
    [ -e "$file" ] || { rm -f "$file"; : >"$file"; }
  done
fi
mount --bind "$1" /etc/resolv.conf
mount --bind "$2" /etc/hosts
echo "$3" >/proc/sys/kernel/hostname
echo ready
exec sleep infinity </dev/null >/dev/null 2>&1
`;
