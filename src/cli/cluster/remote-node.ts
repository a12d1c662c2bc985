/** A node of a cluster, asked through its pod. */
import { MeshError } from '../../base/errors.ts';
import type { Check } from '../checks.ts';
import type { AdminRequest, AdminResponse, CliEnv, Cluster } from '../env.ts';
import { mapFromWire, programFromWire } from '../inspect/protocol.ts';
import type { KernelHandle } from '../node-handle.ts';
import { agentContainer, type AgentPlace } from './agent-pods.ts';
import { InspectSession } from './session.ts';
import { isSkewed } from './version-skew.ts';

/** Everything that can be asked of it. */
export interface RemoteNode extends KernelHandle {
  /** `doctor`'s, by the node itself. */
  checks(signal: AbortSignal): Promise<readonly Check[]>;
}

export interface RemoteNodeOptions {
  readonly namespace: string;
  /** How long the node may take for an answer, milliseconds. */
  readonly timeout: number;
  /** Hears the node's version when it differs too much from this program's. */
  readonly skewed: (node: string, version: string) => void;
}

export function remoteNode(
  env: CliEnv,
  cluster: Cluster,
  { node, pod }: AgentPlace,
  { namespace, timeout, skewed }: RemoteNodeOptions,
): RemoteNode {
  const where = `pod ${namespace}/${pod}`;
  const program = { namespace, pod, container: agentContainer, command: ['mesh-ebpf', 'inspect'] } as const;
  const session = new InspectSession(
    where,
    async (events, signal) => await cluster.start(program, events, signal),
    ({ version }) => {
      if (isSkewed(env.version, version)) skewed(node, version);
    },
  );
  const timeoutMs = timeout;
  return {
    node,
    where,
    close: () => session.close(),
    admin: async ({ signal, ...request }: AdminRequest): Promise<AdminResponse> =>
      ofNode(node, await session.ask({ ask: 'admin', ...request, timeoutMs }, signal)),
    maps: async (signal) => (await session.ask({ ask: 'maps', timeoutMs }, signal)).map(mapFromWire),
    dump: async (map, signal) => await session.ask({ ask: 'dump', map, timeoutMs }, signal),
    programs: async (signal) =>
      (await session.ask({ ask: 'programs', timeoutMs }, signal)).map(programFromWire),
    runs: async (forMs, signal) =>
      (await session.ask({ ask: 'runs', forMs, timeoutMs }, signal)).map(programFromWire),
    checks: async (signal) => await session.ask({ ask: 'checks', timeoutMs }, signal),
  };
}

/** Kubernetes says where a pod is; a node program that calls itself otherwise would pass for another node. */
function ofNode(node: string, response: AdminResponse): AdminResponse {
  const { document } = response;
  const claimed =
    typeof document === 'object' && document !== null && 'node' in document ? document.node : node;
  if (claimed === node) return response;
  throw new MeshError('UNSUPPORTED', `its node program says that it is node ${JSON.stringify(claimed)}`, {
    hint: 'NODE_NAME in the DaemonSet must be the name that Kubernetes has for the node (spec.nodeName)',
  });
}
