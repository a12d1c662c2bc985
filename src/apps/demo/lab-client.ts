/** The demo's hands: runs this very program's commands and asks the nodes' admin sockets, as a person would. */
import { spawn } from 'node:child_process';
import { MeshError } from '../../base/errors.ts';
import type { CliEnv } from '../../cli/env.ts';
import type { LabStatus } from '../../lab/commands/status.ts';
import { labLayout } from '../../lab/layout.ts';
import type {
  ConnectionItem,
  ConnectionsDocument,
  WorkloadItem,
  WorkloadList,
} from '../../telemetry/admin-api.ts';

/** What the demo looks at of `explain -o json`. */
export interface Explained {
  readonly outcome: 'allowed' | 'denied' | 'depends' | 'failed';
  readonly verdict: { readonly reason: string };
  readonly ways: readonly { readonly path: string | null }[];
}

/** What the demo looks at of `verdicts -o json`. */
interface Verdicts {
  readonly items: readonly AdmittedPair[];
}

export interface AdmittedPair {
  readonly source: string;
  readonly sourceIp: string;
  readonly destination: string;
  readonly destinationIp: string;
  readonly port: number;
  readonly state: string;
  readonly verdict: { readonly policy: string | null } | null;
}

export interface LabClient {
  /** `lab …`; its progress appears on this terminal's stderr. @throws MeshError UNAVAILABLE when it fails */
  lab(...args: readonly string[]): Promise<string>;
  status(): Promise<LabStatus>;
  /** Runs `mesh-ebpf lab-app …` in a pod and reads its lines of JSON. */
  app<Result>(pod: string, ...args: readonly string[]): Promise<readonly Result[]>;
  /** `explain`, of the nodes. */
  explain(from: string, to: string): Promise<Explained>;
  /** `verdicts` between two pods. */
  verdicts(from: string, to: string): Promise<readonly AdmittedPair[]>;
  /** `policy suggest` for a namespace, as YAML. */
  suggest(namespace: string): Promise<string>;
  workloads(node: string): Promise<readonly WorkloadItem[]>;
  /** Completed connections a node has seen after `sequence`, and the newest sequence there is. */
  connections(
    node: string,
    after: number,
  ): Promise<{ readonly items: readonly ConnectionItem[]; readonly last: number }>;
}

export function labClient(program: readonly [string, ...string[]], env: CliEnv): LabClient {
  const [file, ...prefix] = program;
  const run = (...args: readonly string[]): Promise<string> => capture(file, [...prefix, ...args]);
  const lab: LabClient['lab'] = (...args) => run('lab', ...args);
  const ask = async <Document>(node: string, target: string): Promise<Document> => {
    const signal = AbortSignal.timeout(5_000);
    const socket = labLayout().node(node).adminSocket;
    const { status, document } = await env.adminRequest(socket, { method: 'GET', target, signal });
    if (status === 200) return document as Document;
    throw new MeshError('UNAVAILABLE', `${node} answered ${status} to ${target}`);
  };
  return {
    lab,
    status: async () => JSON.parse(await lab('status', '-o', 'json')) as LabStatus,
    app: async <Result>(pod: string, ...args: readonly string[]) => {
      const lines = await lab('exec', pod, '--', 'mesh-ebpf', 'lab-app', ...args);
      return lines
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Result);
    },
    explain: async (from, to) => JSON.parse(await run('explain', from, to, '-o', 'json')) as Explained,
    verdicts: async (from, to) => {
      const json = await run('verdicts', '--source', from, '--destination', to, '-o', 'json');
      return (JSON.parse(json) as Verdicts).items;
    },
    suggest: (namespace) => run('policy', 'suggest', '-n', namespace),
    workloads: async (node) => (await ask<WorkloadList>(node, '/v1/workloads')).items,
    connections: async (node, after) => {
      const { recent, last } = await ask<ConnectionsDocument>(
        node,
        `/v1/connections?only=recent&after=${after}`,
      );
      return { items: recent, last };
    },
  };
}

function capture(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.once('error', reject);
    child.once('close', (code) => {
      // 1 means findings: the output says which, and the demo looks at it.
      if (code === 0 || code === 1) resolve(output);
      else
        reject(
          new MeshError('UNAVAILABLE', `"mesh-ebpf ${args.slice(-6).join(' ')}" ended with status ${code}`),
        );
    });
  });
}
