/**
 * A lab of `mesh-ebpf lab up`, as tests use it: run clients in pods, ask the nodes, break things. Only one lab can be
 * on a machine: `labSuite` waits for another to end and never ends one it has not started. KEEP_LAB=1 leaves it.
 */
import { afterAll, beforeAll, it } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { adminRequest } from '../../../src/cli/admin-client.ts';
import type { LabStatus, StatusPod } from '../../../src/lab/commands/status.ts';
import { labLayout, netnsPath, nodeCgroups, nodeNetns } from '../../../src/lab/layout.ts';
import { readNodeReport } from '../../../src/lab/node-report.ts';
import { readPodRecord } from '../../../src/lab/pod-record.ts';
import { findCgroup2 } from '../../../src/lab/system/cgroup.ts';
import { inCgroup, inNetns, inPod } from '../../../src/lab/system/enter.ts';
import { childOf, type ProcessRef } from '../../../src/lab/system/process.ts';
import type {
  ConnectionItem,
  ConnectionsDocument,
  ConnectionsQuery,
  StatusDocument,
} from '../../../src/telemetry/admin-api.ts';
import { formatConnectionsQuery } from '../../../src/telemetry/admin-query.ts';
import { cli, cliOk, environment } from './cli.ts';
import { clientScript } from './manifest.ts';
import { type Finished, PodProcess } from './pod-process.ts';
import { eventually, patience, until } from './wait.ts';

export type NodeId = `node-${'a' | 'b' | 'c' | 'd'}`;
/** `node` is the keeper of the node program, `worker` the program itself. */
type LabProcess = 'node' | 'worker' | 'controller' | 'kubelet';

/** The nodes of a lab unless it is asked for more. */
export const nodeIds: readonly NodeId[] = ['node-a', 'node-b'];

/** How long another lab may go on before these tests give up. */
export const patienceMs = 300_000;
const upMs = 90_000 * patience;
const scenarioMs = 90_000 * patience;

/** One line of the server of many habits (`pod/server.py`). */
export interface ServerEvent {
  readonly event: 'listening' | 'accepted' | 'ended' | 'datagram';
  readonly port?: number;
  readonly client?: readonly [ip: string, port: number];
  readonly how?: string;
  readonly bytes?: number;
}

export class Lab {
  readonly layout = labLayout();
  readonly #pods: ReadonlyMap<string, StatusPod>;
  readonly #cgroup2: string;

  private constructor(pods: ReadonlyMap<string, StatusPod>, cgroup2: string) {
    this.#pods = pods;
    this.#cgroup2 = cgroup2;
  }

  /** Starts a lab, once there is none; returns when all its pods are ready. */
  static async up(file: string, flags: readonly string[] = []): Promise<Lab> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const { code, stderr } = await cli([
        'lab',
        'up',
        '-f',
        file,
        '--wait',
        '--timeout',
        `${60 * patience}s`,
        ...flags,
      ]);
      if (code === 0) return await Lab.attach();
      if (!stderr.includes('ALREADY_EXISTS')) {
        await Lab.down();
        throw new Error(`the lab did not start:\n${stderr}`);
      }
      if (Date.now() > deadline) {
        throw new Error('another lab is running on this machine; end it with: bin/mesh-ebpf lab down');
      }
      await delay(2000);
    }
  }

  static async down(): Promise<void> {
    await cliOk(['lab', 'down']);
  }

  /** The lab that runs, as it is now. */
  static async attach(): Promise<Lab> {
    const { pods } = await labStatus();
    const named = new Map(pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
    return new Lab(named, await findCgroup2());
  }

  /** @param path `NAMESPACE/NAME` of a pod that was there when the lab started or was attached to */
  pod(path: string): StatusPod & { readonly ip4: string; readonly ip6: string } {
    const found = this.#pods.get(path);
    if (found === undefined) throw new Error(`the lab has no pod ${path}`);
    const [ip4 = '', ip6 = ''] = found.ips;
    return { ...found, ip4, ip6 };
  }

  /** A process in a pod, as `lab exec` makes it, without the seconds of starting a command line for each. */
  async spawn(path: string, argv: readonly [string, ...string[]]): Promise<PodProcess> {
    const { namespace, name, node, uid } = this.pod(path);
    const record = await readPodRecord(this.layout.pod(namespace, name));
    if (record === undefined) throw new Error(`pod ${path} does not run`);
    const cgroup = nodeCgroups(this.#cgroup2, node).pod(uid);
    const env = { ...environment, PATH: `${this.layout.bin}:${environment.PATH}` };
    return new PodProcess(inCgroup(cgroup, inPod(record.holder, argv)), env);
  }

  async exec(path: string, argv: readonly [string, ...string[]], stdin = ''): Promise<Finished> {
    const running = await this.spawn(path, argv);
    running.child.stdin.end(stdin);
    return await running.finished;
  }

  /** Starts a client of `client.py` in a pod; it goes on until asked to stop. */
  start(path: string, client: string, ...args: readonly unknown[]): Promise<PodProcess> {
    return this.spawn(path, ['python3', clientScript, client, JSON.stringify(args)]);
  }

  /** Runs one to its end and returns what it says. */
  async client<T = ClientAnswer>(path: string, client: string, ...args: readonly unknown[]): Promise<T> {
    return await (await this.start(path, client, ...args)).result<T>();
  }

  /** Whether a connection gets through to the server of many habits. @param to a host name or an address */
  async greets(from: string, to: string): Promise<boolean> {
    return ((await this.client(from, 'greet', to)).greeting ?? undefined) !== undefined;
  }

  /** The pods' processes, for comparison: nobody may have to touch them. */
  holders(...paths: readonly string[]): string {
    const records = paths.map((path) => {
      const { namespace, name } = this.pod(path);
      return readFileSync(this.layout.pod(namespace, name).record, 'utf8');
    });
    return records.join('');
  }

  /** A process of the host: in a node's network namespace, but in no pod and not in the node's cgroup. */
  onNode(node: NodeId, argv: readonly [string, ...string[]]): PodProcess {
    return new PodProcess(inNetns(netnsPath(nodeNetns(node)), argv), environment);
  }

  /** What the server of many habits in a pod has told so far. */
  events(path: string): readonly ServerEvent[] {
    const { namespace, name } = this.pod(path);
    const lines = readFileSync(this.layout.pod(namespace, name).log, 'utf8').split('\n').filter(Boolean);
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as ServerEvent);
  }

  /** @throws MeshError UNAVAILABLE while the node program does not run */
  async admin<T>(node: NodeId, target: string): Promise<T> {
    const socket = this.layout.node(node).adminSocket;
    const request = { method: 'GET', target, signal: AbortSignal.timeout(10_000 * patience) } as const;
    return (await adminRequest(socket, request)).document as T;
  }

  /** Completed connections the node tells of, oldest first. */
  async connections(
    node: NodeId,
    query: ConnectionsQuery = { limit: 1000 },
  ): Promise<readonly ConnectionItem[]> {
    const target = `/v1/connections?${formatConnectionsQuery(query)}`;
    return (await this.admin<ConnectionsDocument>(node, target)).recent;
  }

  status(node: NodeId): Promise<StatusDocument> {
    return this.admin<StatusDocument>(node, '/v1/status');
  }

  /** Waits for the record of a completed connection. */
  record(node: NodeId, what: string, is: (item: ConnectionItem) => boolean): Promise<ConnectionItem> {
    return eventually(`a record on ${node} of ${what}`, async () =>
      (await this.connections(node)).findLast((item) => is(item)),
    );
  }

  /** Both nodes' records of the tunnelled connection that had this port at its client on the first node. */
  async tunnelled(clientPort: number | undefined): Promise<{ out: ConnectionItem; into: ConnectionItem }> {
    const what = `the tunnelled connection from port ${clientPort}`;
    const out = await this.record(
      'node-a',
      what,
      ({ source, direction }) => direction === 'outbound' && source.address.endsWith(`:${clientPort}`),
    );
    const into = await this.record('node-b', what, ({ traceId }) => traceId === out.traceId);
    return { out, into };
  }

  /** The destination's record of the connection that reached it without a tunnel. */
  plaintext(node: NodeId, clientPort: number | undefined): Promise<ConnectionItem> {
    return this.record(
      node,
      `the plaintext connection from port ${clientPort}`,
      ({ source, path }) => path === 'direct' && source.address.endsWith(`:${clientPort}`),
    );
  }

  /** What the node program has logged. */
  log(node: NodeId): string {
    return readFileSync(this.layout.node(node).meshLog, 'utf8');
  }

  async apply(yaml: string, ...flags: readonly string[]): Promise<string> {
    return await cliOk(['lab', 'apply', '-f', '-', ...flags], { stdin: yaml });
  }

  async delete(...words: readonly string[]): Promise<string> {
    return await cliOk(['lab', 'delete', ...words]);
  }

  /** The process the lab keeps running; undefined while it does not. */
  async process(node: NodeId, name: LabProcess = 'node'): Promise<ProcessRef | undefined> {
    const report = await readNodeReport(this.layout.node(node));
    const all = report === undefined ? [] : [report.kubelet, ...report.processes];
    const named = (wanted: string): ProcessRef | undefined =>
      all.find((candidate) => candidate.name === wanted)?.process;
    if (name !== 'worker') return named(name);
    const keeper = named('node');
    return keeper && childOf(keeper);
  }

  async signal(node: NodeId, signal: NodeJS.Signals, name: LabProcess = 'node'): Promise<ProcessRef> {
    const found = await this.process(node, name);
    if (found === undefined) throw new Error(`the ${name} process of ${node} does not run`);
    process.kill(found.pid, signal);
    return found;
  }

  /** Waits until another process has taken the place of `before`, and serves. */
  async replaced(node: NodeId, before: ProcessRef, name: 'node' | 'worker' = 'node'): Promise<void> {
    await until(`a new node program on ${node}`, async () => {
      const now = await this.process(node, name);
      return now !== undefined && now.pid !== before.pid;
    });
    await this.ready(node);
  }

  async ready(node: NodeId): Promise<void> {
    await until(`${node} to be ready`, async () => {
      const status = await this.status(node).catch(() => undefined);
      return status?.readiness.ready === true && status.pods.enrolled === status.pods.expected;
    });
  }
}

/** What most clients answer; the rest is theirs to type. */
export interface ClientAnswer {
  readonly error?: string;
  readonly seconds: number;
  readonly answer?: string;
  readonly peer?: readonly [string, number];
  readonly own?: readonly [string, number];
  readonly greeting?: {
    readonly client: readonly [string, number];
    readonly local: readonly [string, number];
  };
}

export const labStatus = async (): Promise<LabStatus> =>
  JSON.parse((await cli(['lab', 'status', '-o', 'json'])).stdout) as LabStatus;

export interface LabSuite {
  readonly lab: () => Lab;
  /** Ends the lab before the last test; what comes after has none. */
  readonly down: () => Promise<void>;
  /** Like `it`, and tells on failure how to look at the lab of the test. */
  readonly scenario: (name: string, test: (lab: Lab) => Promise<void>, timeoutMs?: number) => void;
}

/** One lab for a test file: up before its first scenario, down after its last. */
export const labSuite = (...manifests: readonly string[]): LabSuite => labSuiteWith([], ...manifests);

/** @param flags more of `lab up` */
export function labSuiteWith(flags: readonly string[], ...manifests: readonly string[]): LabSuite {
  const file = join(mkdtempSync(join(tmpdir(), 'mesh-netns-')), 'lab.yaml');
  let running: Lab | undefined;
  let failed = false;
  const lab = (): Lab => {
    if (running === undefined) throw new Error('the lab is not up');
    return running;
  };
  beforeAll(async () => {
    writeFileSync(file, manifests.join(''));
    running = await Lab.up(file, flags);
  }, patienceMs + upMs);
  const down = async (): Promise<void> => {
    if (running === undefined) return;
    running = undefined;
    await Lab.down();
  };
  afterAll(async () => {
    if (process.env['KEEP_LAB'] === undefined) await down();
    // A failure names the file.
    if (!failed) rmSync(dirname(file), { recursive: true });
  }, upMs);
  return {
    lab,
    down,
    scenario: (name, test, timeoutMs = scenarioMs) =>
      it(
        name,
        async () => {
          try {
            await test(lab());
          } catch (thrown) {
            failed = true;
            if (thrown instanceof Error && running !== undefined)
              thrown.message += await advice(running, file, flags);
            throw thrown;
          }
        },
        timeoutMs,
      ),
  };
}

/** How to go on from a failure: what failed on the nodes last, and how to enter the pods. */
async function advice(lab: Lab, file: string, flags: readonly string[]): Promise<string> {
  const lines = await Promise.all(nodeIds.map((node) => lastFailures(lab, node)));
  return [
    '\n\nlast failures on the nodes:',
    ...lines.flat(),
    'to look around, run the test with KEEP_LAB=1, or the same lab with:',
    `  ${['bin/mesh-ebpf lab up -f', file, '--wait', ...flags].join(' ')}`,
    '  bin/mesh-ebpf lab exec -it NAMESPACE/POD -- sh',
  ].join('\n');
}

async function lastFailures(lab: Lab, node: NodeId): Promise<readonly string[]> {
  const failed = await lab.connections(node, { failed: true, limit: 5 }).catch(() => undefined);
  if (failed === undefined) return [`  ${node} does not answer`];
  return failed.map(
    ({ direction, source, originalDestination, error }) =>
      `  ${node} ${direction} ${source.workload ?? source.address} → ${originalDestination}: ${error?.code} ${error?.message}`,
  );
}
