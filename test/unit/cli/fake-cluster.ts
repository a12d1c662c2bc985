/** A cluster for tests: its objects, and in each pod of the mesh the real `mesh-ebpf inspect` on a machine of its own. */
import type { MeshError } from '../../../src/base/errors.ts';
import type { AgentPod } from '../../../src/cli/cluster/agent-pods.ts';
import type { CliEnv, Cluster } from '../../../src/cli/env.ts';
import { nodePins, nodeSocket } from '../../../src/cli/places.ts';
import { apiError } from '../../../src/kube/client/api-error.ts';
import type { KubeRequest } from '../../../src/kube/client/kube-client.ts';
import type { PodProcess, PodProcessEvents, PodProgram } from '../../../src/kube/client/pod-exec.ts';
import { map, pods as podRows, program } from './fake-kernel.ts';
import { fullNode } from './fake-nodes.ts';
import { type FakeNode, noDatapath, run, type Run, type World } from './harness.ts';

export const namespace = 'mesh-ebpf-system';
export const podOf = (node: string): string => `mesh-ebpf-node-${node}`;

export interface FakeClusterOptions {
  readonly pods?: readonly AgentPod[];
  /** Kubernetes' nodes; those of the pods when absent. */
  readonly nodes?: readonly string[];
  /** Null: there is no DaemonSet. */
  readonly desired?: number | null;
  /** The machine in each pod, by node; one where all is well when absent. */
  readonly machines?: Readonly<Record<string, World>>;
  /** What else there is at the API server, by path. */
  readonly objects?: Readonly<Record<string, object>>;
  /** What the API server refuses. */
  readonly refuse?: (request: KubeRequest) => MeshError | undefined;
  /** In place of `mesh-ebpf inspect`. */
  readonly start?: Cluster['start'];
}

export interface FakeCluster extends Cluster {
  readonly requests: readonly KubeRequest[];
  readonly started: readonly PodProgram[];
  /** Programs that run now, and the most there were at a time. */
  readonly running: () => number;
  readonly mostRunning: () => number;
}

export const runningPod = (node: string, extra: Partial<AgentPod> = {}): AgentPod => ({
  metadata: { name: podOf(node), namespace },
  spec: { nodeName: node },
  status: { phase: 'Running', containerStatuses: [{ name: 'node', state: { running: {} } }] },
  ...extra,
});

/** A node's machine as its pod sees it: `nodes` are asked through the socket in the pod. */
export function machine(node: string, answers: FakeNode['answers'] = {}, env: Partial<CliEnv> = {}): World {
  const all = { ...fullNode(node).answers, ...fullNode(node, answers).answers };
  return {
    nodes: [{ socket: nodeSocket, answers: all }],
    files: { [`${nodePins}/maps/pods`]: '' },
    env: {
      datapath: {
        ...noDatapath,
        maps: () => [map('pods'), map('config', { entries: undefined, capacity: undefined })],
        dump: () => podRows,
        programs: () => [
          program('mesh_connect4', { runs: 2n ** 60n }),
          program('mesh_sk_lookup', { tag: undefined }),
        ],
        features: () => Promise.resolve([]),
      },
      ...env,
    },
  };
}

export function fakeCluster(options: FakeClusterOptions = {}): FakeCluster {
  const pods = options.pods ?? [runningPod('node-a'), runningPod('node-b')];
  const requests: KubeRequest[] = [];
  const started: PodProgram[] = [];
  let running = 0;
  let most = 0;
  const start: Cluster['start'] = async (asked, events, signal) => {
    started.push(asked);
    running += 1;
    most = Math.max(most, running);
    const ended = once(() => (running -= 1));
    try {
      const open = options.start ?? startIn(pods, options.machines ?? {});
      const heard = {
        ...events,
        ended: (end: Parameters<typeof events.ended>[0]) => (ended(), events.ended(end)),
      };
      const process = await open(asked, heard, signal);
      return { send: (text) => process.send(text), close: () => (ended(), process.close()) };
    } catch (thrown) {
      ended();
      throw thrown;
    }
  };
  return {
    server: 'api.test:6443',
    client: {
      request: async (request) => {
        requests.push(request);
        const refused = options.refuse?.(request);
        if (refused !== undefined) throw refused;
        return await Promise.resolve(objectsFor(request, pods, options));
      },
    },
    start,
    requests,
    started,
    running: () => running,
    mostRunning: () => most,
  };
}

/** As the API server refuses who lacks a right. */
export const forbidden = (verb: string, resource: string, group = ''): MeshError =>
  apiError({ verb, path: `/${resource}` }, 403, {
    reason: 'Forbidden',
    message:
      `${resource} is forbidden: User "ann" cannot ${verb} resource "${resource}" in API group "${group}" ` +
      `in the namespace "${namespace}"`,
  });

function objectsFor(
  { path, query = {} }: KubeRequest,
  pods: readonly AgentPod[],
  { nodes, desired, objects }: FakeClusterOptions,
): object {
  const given = objects?.[path];
  if (given !== undefined) return given;
  const onNodes = pods.flatMap(({ spec }) => spec?.nodeName ?? []);
  switch (path) {
    case `/api/v1/namespaces/${namespace}/pods`: {
      const node = query['fieldSelector']?.replace('spec.nodeName=', '');
      return { items: pods.filter(({ spec }) => node === undefined || spec?.nodeName === node) };
    }
    case `/apis/apps/v1/namespaces/${namespace}/daemonsets/mesh-ebpf-node`:
      if (desired === null) throw apiError({ verb: 'get', path }, 404, {});
      return {
        metadata: { name: 'mesh-ebpf-node', namespace },
        spec: { template: { spec: { nodeSelector: { 'kubernetes.io/os': 'linux' } } } },
        status: { desiredNumberScheduled: desired ?? nodes?.length ?? pods.length },
      };
    case '/api/v1/nodes':
      return { items: (nodes ?? onNodes).map((name) => ({ metadata: { name } })) };
    default:
      throw apiError({ verb: 'get', path }, 404, {});
  }
}

/** Runs the program in this very process: what it writes is heard, and its input ends when it is closed. */
function startIn(pods: readonly AgentPod[], machines: Readonly<Record<string, World>>): Cluster['start'] {
  return async ({ pod, command }, events) => {
    const node = pods.find(({ metadata }) => metadata.name === pod)?.spec?.nodeName ?? '';
    const world = machines[node] ?? machine(node);
    const input = lineQueue();
    const stdout = {
      write: (text: string) => events.stdout(Buffer.from(text)),
      isTTY: false,
      columns: undefined,
    };
    const [, ...args] = command;
    void run(args, { ...world, input: input.lines(), env: { ...world.env, stdout } }).then(({ code, err }) =>
      events.ended({ type: 'exited', status: code, stderr: err }),
    );
    return await Promise.resolve({ send: input.push, close: input.end });
  };
}

function lineQueue(): {
  readonly push: (text: string) => void;
  readonly end: () => void;
  readonly lines: () => AsyncGenerator<string>;
} {
  const queued: string[] = [];
  let ended = false;
  let wake = Promise.withResolvers<void>();
  const change = (act: () => void): void => {
    act();
    wake.resolve();
    wake = Promise.withResolvers();
  };
  return {
    push: (text) => change(() => queued.push(text)),
    end: () => change(() => (ended = true)),
    lines: async function* lines() {
      for (;;) {
        const awaited = wake.promise;
        yield* queued.splice(0);
        if (ended) return;
        if (queued.length === 0) await awaited;
      }
    },
  };
}

/** A program that says these texts when it starts, and nothing to any question. */
export const saying =
  (...texts: readonly string[]): Cluster['start'] =>
  async (_program: PodProgram, events: PodProcessEvents): Promise<PodProcess> => {
    queueMicrotask(() => {
      for (const text of texts) events.stdout(Buffer.from(text));
    });
    return await Promise.resolve({ send: () => {}, close: () => {} });
  };

const once = (act: () => void): (() => void) => {
  let done = false;
  return () => {
    if (!done) act();
    done = true;
  };
};

/** Runs a command on a laptop whose kubeconfig leads to this cluster. */
export const fromLaptop = async (
  line: string,
  options: FakeClusterOptions = {},
  extra: World = {},
): Promise<Run> => {
  const cluster = fakeCluster(options);
  return await run(line, { ...extra, cluster: () => cluster });
};
