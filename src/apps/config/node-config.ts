/**
 * The node program's configuration: flags, then environment, then defaults; complete, checked and frozen before
 * anything starts. The only place besides `controller-config.ts` that knows the names of environment variables.
 */
import { MeshError } from '../../base/errors.ts';
import { defaultMapSizes, type MapSizes } from '../../datapath/maps.ts';
import { type MeshConfig, type NodeName } from '../../model/mesh.ts';
import type { LogLevel } from '../../telemetry/admin-api.ts';
import { meshConfig, type MeshFlags } from './mesh-config.ts';
import { cniConfig, type CniConfig } from './cni-config.ts';
import {
  type Acceleration,
  parseAcceleration,
  parseEntries,
  parseHostPort,
  parseLogLevel,
  parseSameNode,
  parseSeconds,
  type SameNode,
} from './values.ts';

export interface NodeFlags extends MeshFlags {
  readonly nodeName?: string;
  readonly objects?: string;
  readonly kubeconfig?: string;
  readonly snapshot?: string;
  readonly cgroupRoot?: string;
  readonly pinRoot?: string;
  readonly runDir?: string;
  readonly readySocket?: string;
  readonly caAddress?: string;
  readonly caRoot?: string;
  readonly tokenFile?: string;
  readonly logLevel?: string;
  readonly drainSeconds?: string;
  readonly cniConfDir?: string;
  readonly cniBinDir?: string;
  readonly cniExcludeNamespaces?: string;
  readonly cniWaitSeconds?: string;
  readonly maxPods?: string;
  readonly maxDestinations?: string;
  readonly maxFlows?: string;
  readonly maxEgress?: string;
  readonly maxVerdicts?: string;
  readonly sameNode?: string;
  readonly accelerate?: string;
  readonly maxPodConnections?: string;
}

/** Where the Kubernetes objects come from. */
export type ObjectsConfig =
  | { readonly type: 'directory'; readonly path: string }
  | {
      readonly type: 'api';
      /** undefined: the one of the pod that the program runs in. */
      readonly kubeconfig: string | undefined;
      /** Where what the API server said last is kept. */
      readonly snapshotFile: string;
    };

export interface NodeConfig {
  readonly nodeName: NodeName;
  readonly mesh: MeshConfig;
  readonly objects: ObjectsConfig;
  /** Cgroup v2 directory that holds everything of this node. */
  readonly cgroupRoot: string;
  /** Directory on a BPF file system for what must outlive the process. */
  readonly pinRoot: string;
  /** Directory of the admin socket. */
  readonly runDir: string;
  /** Where this very process, and no other one of the node, says whether it is ready. Undefined: on the port only. */
  readonly readySocket: string | undefined;
  /** `HOST:PORT`; a name is looked up anew for each connection. */
  readonly caAddress: string;
  readonly caRootFile: string;
  readonly tokenFile: string;
  readonly logLevel: LogLevel;
  /** How long connections may go on after a request to stop. */
  readonly drainMs: number;
  readonly mapSizes: MapSizes;
  /** How pods of this node reach each other: through ztunnel, or in the kernel alone where nothing speaks against it. */
  readonly sameNode: SameNode;
  /** Which of the connections in the kernel alone go from socket to socket: none, those of pods that ask for it, or all. */
  readonly accelerate: Acceleration;
  /** How many connections to others of the node one pod may have in the kernel alone. Undefined: a quarter of `flows`. */
  readonly podConnections: number | undefined;
  /** Undefined: the CNI plugin is not installed. */
  readonly cni: CniConfig | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws MeshError INVALID_ARGUMENT naming every problem at once. */
export function nodeConfig(flags: NodeFlags, environment: Environment, cgroupMount: string): NodeConfig {
  const missing: string[] = [];
  const need = (value: string | undefined, flag: string): string => {
    if (value === undefined || value === '') missing.push(flag);
    return value ?? '';
  };
  const caAddress = need(flags.caAddress ?? environment['CA_ADDRESS'], '--ca-address HOST:PORT (CA_ADDRESS)');
  const config = {
    nodeName: need(flags.nodeName ?? environment['NODE_NAME'], '--node-name NAME (NODE_NAME)') as NodeName,
    mesh: meshConfig(flags, environment),
    cgroupRoot: flags.cgroupRoot ?? cgroupMount,
    pinRoot: flags.pinRoot ?? '/sys/fs/bpf/mesh-ebpf',
    runDir: flags.runDir ?? '/run/mesh-ebpf/node',
    readySocket: flags.readySocket,
    caRootFile: need(flags.caRoot ?? environment['CA_ROOT_CA'], '--ca-root FILE (CA_ROOT_CA)'),
    tokenFile: need(flags.tokenFile ?? environment['AUTH_TOKEN'], '--token-file FILE (AUTH_TOKEN)'),
    logLevel: parseLogLevel(flags.logLevel ?? 'info'),
    drainMs: parseSeconds(flags.drainSeconds ?? '5', '--drain-seconds') * 1000,
    mapSizes: mapSizes(flags),
    sameNode: parseSameNode(flags.sameNode ?? 'kernel'),
    accelerate: parseAcceleration(flags.accelerate ?? 'off'),
    podConnections: podConnections(flags),
    cni: cniConfig(flags, environment),
  };
  const objects = objectsConfig(flags, environment);
  if (objects === undefined) missing.push('--objects DIRECTORY or --kubeconfig FILE (or to run in a pod)');
  if (missing.length > 0 || objects === undefined) {
    throw new MeshError('INVALID_ARGUMENT', `the node program needs ${missing.join(', ')}`, {
      hint: 'see: mesh-ebpf node --help',
    });
  }
  return Object.freeze({
    ...config,
    objects,
    caAddress: parseHostPort(caAddress.replace(/^https:\/\//, ''), '--ca-address'),
  });
}

/** A directory, a kubeconfig, or the API server that Kubernetes names to every pod; undefined if there is none. */
function objectsConfig(flags: NodeFlags, environment: Environment): ObjectsConfig | undefined {
  const { objects, kubeconfig, snapshot } = flags;
  if (objects !== undefined && (kubeconfig ?? snapshot) !== undefined) {
    throw new MeshError('INVALID_ARGUMENT', '--objects goes with neither --kubeconfig nor --snapshot', {
      hint: 'a directory is read as it is; a snapshot is for when the API server does not answer',
    });
  }
  if (objects !== undefined && objects !== '') return { type: 'directory', path: objects };
  const isInPod = (environment['KUBERNETES_SERVICE_HOST'] ?? '') !== '';
  if (kubeconfig === undefined && !isInPod) return undefined;
  return { type: 'api', kubeconfig, snapshotFile: snapshot ?? '/var/lib/mesh-ebpf/node/objects.snapshot' };
}

const podConnections = ({ maxPodConnections }: NodeFlags): number | undefined =>
  maxPodConnections === undefined ? undefined : parseEntries(maxPodConnections, '--max-pod-connections');

function mapSizes({ maxPods, maxDestinations, maxFlows, maxEgress, maxVerdicts }: NodeFlags): MapSizes {
  const { pods, destinations, flows, egress, verdicts } = defaultMapSizes;
  return {
    pods: parseEntries(maxPods ?? String(pods), '--max-pods'),
    destinations: parseEntries(maxDestinations ?? String(destinations), '--max-destinations'),
    flows: parseEntries(maxFlows ?? String(flows), '--max-flows'),
    egress: parseEntries(maxEgress ?? String(egress), '--max-egress'),
    verdicts: parseEntries(maxVerdicts ?? String(verdicts), '--max-verdicts'),
  };
}
