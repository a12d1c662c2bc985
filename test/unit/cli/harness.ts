/** Runs the CLI in the test's own process: a world made of objects, and everything it wrote. */
import { MeshError } from '../../../src/base/errors.ts';
import type { CommandGroup } from '../../../src/cli/command.ts';
import type { AdminRequest, CliEnv, Cluster, ClusterChoice } from '../../../src/cli/env.ts';
import { runCli } from '../../../src/cli/program.ts';
import { adminApiVersion } from '../../../src/telemetry/admin-api.ts';

export const now = Date.parse('2026-11-21T12:00:00Z');

export interface FakeNode {
  readonly socket: string;
  /** Path → body of the answer, or the error instead. Matched up to the query. */
  readonly answers: Readonly<Record<string, FakeAnswer>>;
}

type FakeAnswer = object | MeshError | ((request: AdminRequest) => object | MeshError);

export interface World {
  readonly nodes?: readonly FakeNode[];
  readonly files?: Readonly<Record<string, string>>;
  readonly terminal?: boolean;
  readonly columns?: number;
  readonly variables?: CliEnv['variables'];
  readonly groups?: readonly CommandGroup[];
  /** Standard input. */
  readonly input?: AsyncIterable<Buffer | string>;
  /** The cluster of the flags, or of the usual kubeconfig. */
  readonly cluster?: (choice: ClusterChoice) => Cluster | undefined;
  readonly env?: Partial<CliEnv>;
}

export interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly requests: readonly (AdminRequest & { readonly socket: string })[];
}

export const labSocket = (node: string): string => `/run/mesh-ebpf/lab/nodes/${node}/admin.sock`;

export function labNode(node: string, answers: FakeNode['answers']): FakeNode {
  const documents = Object.entries(answers).map(([path, answer]): [string, FakeAnswer] => [
    path,
    typeof answer === 'function' || answer instanceof MeshError ? answer : { node, ...answer },
  ]);
  return { socket: labSocket(node), answers: Object.fromEntries(documents) };
}

export const document = (kind: string, body: object): object => ({
  apiVersion: adminApiVersion,
  kind,
  time: new Date(now).toISOString(),
  ...body,
});

export async function run(line: string | readonly string[], world: World = {}): Promise<Run> {
  const requests: (AdminRequest & { socket: string })[] = [];
  const out: string[] = [];
  const err: string[] = [];
  const env = fakeEnv(world, out, err, requests);
  const args = typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line;
  const code = await runCli(args, env, world.groups ?? []);
  return { code, out: out.join(''), err: err.join(''), requests };
}

function fakeEnv(
  world: World,
  out: string[],
  err: string[],
  requests: (AdminRequest & { socket: string })[],
): CliEnv {
  const stream = (into: string[]): CliEnv['stdout'] => ({
    write: (text) => void into.push(text),
    isTTY: world.terminal === true,
    columns: world.columns,
  });
  return {
    programName: 'mesh-ebpf',
    stdout: stream(out),
    stderr: stream(err),
    variables: world.variables ?? {},
    clock: { now: () => now, random: () => 0.5, after: () => () => {} },
    version: '0.1.0',
    platform: { node: '24.0.0', kernel: '6.18.0', machine: 'x64' },
    uid: 0,
    files: fakeFiles(world),
    path: ['/usr/bin'],
    interrupted: new AbortController().signal,
    input: () => world.input ?? nothing(),
    ask: () => Promise.resolve(undefined),
    openCluster: (choice) => Promise.resolve(world.cluster?.(choice)),
    datapath: noDatapath,
    cleaners: [],
    adminRequest: async (socket, request) => {
      requests.push({ socket, ...request });
      return await Promise.resolve({ status: 200, document: answerOf(world, socket, request) });
    },
    ...world.env,
  };
}

async function* nothing(): AsyncGenerator<Buffer> {}

const refuse = (): never => {
  throw new MeshError('UNSUPPORTED', 'the native addon is not built', { hint: 'run: make native' });
};

export const noDatapath: CliEnv['datapath'] = {
  maps: refuse,
  dump: refuse,
  programs: refuse,
  startCounting: refuse,
  features: () => Promise.reject(new MeshError('UNSUPPORTED', 'the native addon is not built')),
  uninstall: refuse,
  owned: refuse,
  unclaimed: refuse,
  othersNamespaces: refuse,
  leftovers: () => Promise.reject(new MeshError('UNSUPPORTED', 'the native addon is not built')),
};

function answerOf(world: World, socket: string, request: AdminRequest): object {
  const node = world.nodes?.find((each) => each.socket === socket);
  const path = request.target.split('?', 1)[0] ?? '';
  const planned = node?.answers[path];
  const answer = typeof planned === 'function' ? planned(request) : planned;
  if (answer instanceof MeshError) throw answer;
  if (answer === undefined) throw new MeshError('UNAVAILABLE', `nobody listens on ${socket}`);
  return answer;
}

function fakeFiles(world: World): CliEnv['files'] {
  const paths = [...Object.keys(world.files ?? {}), ...(world.nodes ?? []).map(({ socket }) => socket)];
  return {
    readText: (path) => {
      const text = world.files?.[path];
      if (text !== undefined) return Promise.resolve(text);
      return Promise.reject(new MeshError('NOT_FOUND', `${path} does not exist`));
    },
    list: (directory) => {
      const below = paths.filter((path) => path.startsWith(`${directory}/`));
      const names = below.map((path) => path.slice(directory.length + 1).split('/')[0] ?? '');
      return Promise.resolve([...new Set(names)].toSorted((a, b) => (a < b ? -1 : 1)));
    },
    exists: (path) => Promise.resolve(paths.some((each) => each === path || each.startsWith(`${path}/`))),
  };
}
