/** The lab as tests use it: its functions called directly, its kubelets run from the sources, commands run in its pods. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { systemClock } from '../../src/base/clock.ts';
import type { LabContext } from '../../src/lab/commands/context.ts';
import { labStatus } from '../../src/lab/commands/status.ts';
import type { LabStatus, StatusPod } from '../../src/lab/commands/status.ts';
import { readLabState } from '../../src/lab/lab-file.ts';
import { labCgroup, labLayout, labPrefix, nodeCgroups } from '../../src/lab/layout.ts';
import { podEnvironment } from '../../src/lab/plan/pod-files.ts';
import { readPodRecord } from '../../src/lab/pod-record.ts';
import { findCgroup2, processesIn } from '../../src/lab/system/cgroup.ts';
import { inCgroup, inPod } from '../../src/lab/system/enter.ts';
import { labNamespaces } from '../../src/lab/system/netns.ts';
import { ObjectStore } from '../../src/lab/system/object-store.ts';
import { systemPath } from '../../src/lab/system/run.ts';

const layout = labLayout();
export const mainProgram = [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  new URL('../../src/main.ts', import.meta.url).pathname,
] as const;

export const notices: string[] = [];

export const context: LabContext = {
  layout,
  clock: systemClock,
  program: mainProgram,
  progress: (line) => notices.push(line),
  signal: new AbortController().signal,
};

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly milliseconds: number;
}

export function runCommand(
  argv: readonly string[],
  options: { env?: Record<string, string>; input?: string } = {},
): Promise<Finished> {
  const [file = '', ...args] = argv;
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: 'pipe',
      ...(options.env === undefined ? {} : { env: options.env }),
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    child.on('error', reject);
    child.on('close', (code) =>
      resolve({ code, stdout, stderr, milliseconds: performance.now() - startedAt }),
    );
    // A command may end without having read its input: how it ended is what counts.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** What `lab exec` does, without starting the CLI for it. */
export async function inside(pod: string, ...command: [string, ...string[]]): Promise<Finished> {
  const [namespace = '', name = ''] = pod.split('/');
  const state = await readLabState(layout);
  const object = new ObjectStore(layout).read().get(`Pod/${pod}`);
  const record = await readPodRecord(layout.pod(namespace, name));
  if (state === undefined || object?.kind !== 'Pod' || record === undefined)
    throw new Error(`${pod} does not run`);
  const cgroup = nodeCgroups(state.cgroup2, object.spec.nodeName ?? '').pod(record.uid);
  const env = { ...podEnvironment(object, `${layout.bin}:${systemPath}`) };
  return runCommand(inCgroup(cgroup, inPod(record.holder, command)), { env });
}

/** What a server of `lab-app http` answered, asked with nothing but bash. */
export interface Answer {
  readonly pod: string;
  /** Address of the client as the server saw it. */
  readonly client: string;
}

/** @throws Error with bash's words when there is no connection */
export async function ask(pod: string, host: string, port = 80): Promise<Answer> {
  const request = String.raw`GET / HTTP/1.0\r\n\r\n`;
  const script = `exec 3<>/dev/tcp/${host}/${port} || exit 1; printf '${request}' >&3; cat <&3`;
  const { code, stdout, stderr } = await inside(pod, 'timeout', '5', 'bash', '-c', script);
  if (code !== 0) throw new Error(stderr);
  const body = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
    readonly pod: string;
    readonly client: string;
  };
  return { pod: body.pod, client: body.client.split(' ')[0] ?? '' };
}

export async function statusOf(pod: string): Promise<StatusPod | undefined> {
  const status = await labStatus(context);
  return status.pods.find(({ namespace, name }) => `${namespace}/${name}` === pod);
}

/** Looks again until it is so; a test that waits in vain says what it saw last. */
export async function eventually<T>(
  look: () => Promise<T>,
  isSo: (seen: T) => boolean,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export const endpointsOf = (status: LabStatus, service: string) =>
  status.services.find(({ namespace, name }) => `${namespace}/${name}` === service)?.endpoints;

/** Everything on the host that is the lab's. */
export async function traces(): Promise<readonly string[]> {
  const cgroup = labCgroup(await findCgroup2());
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(labPrefix));
  const processes = (await processesIn(cgroup)).map((pid) => `process ${pid}`);
  const files = [cgroup, layout.stateDir].filter((path) => existsSync(path));
  return [...(await labNamespaces()), ...mounts, ...processes, ...files];
}
