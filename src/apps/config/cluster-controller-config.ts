/** The controller's configuration in a cluster: flags, then environment, then what the manifests say. */
import { MeshError } from '../../base/errors.ts';
import { parseSocketAddress, type SocketAddress } from '../../base/ip.ts';
import { caPort } from '../../base/ports.ts';
import {
  controllerName,
  meshNamespace,
  nodeAgentName,
  tokenAudience,
} from '../../controller/kubernetes/names.ts';
import type { MeshConfig } from '../../model/mesh.ts';
import type { LogLevel } from '../../telemetry/admin-api.ts';
import { type ControllerFlags, parseCertificateLifetime } from './controller-config.ts';
import { meshConfig } from './mesh-config.ts';
import { parseLogLevel } from './values.ts';

export interface ClusterControllerConfig {
  readonly mesh: MeshConfig;
  /** Of the mesh itself: its Secret, Lease and ConfigMaps. */
  readonly namespace: string;
  /** Tells this replica from the others. */
  readonly identity: string;
  readonly tokenAudience: string;
  /** Service account of the node programs, in the mesh's namespace. */
  readonly nodeAgent: string;
  readonly listen: SocketAddress;
  readonly serverNames: readonly string[];
  readonly certificateLifetimeMs: number;
  readonly logLevel: LogLevel;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws MeshError INVALID_ARGUMENT */
export function clusterControllerConfig(
  flags: ControllerFlags,
  environment: Environment,
): ClusterControllerConfig {
  refuseFiles(flags);
  const mesh = meshConfig(flags, environment);
  const namespace = environment['POD_NAMESPACE'] ?? meshNamespace;
  return Object.freeze({
    mesh,
    namespace,
    identity: podName(environment),
    tokenAudience: flags.tokenAudience ?? tokenAudience,
    nodeAgent: flags.nodeServiceAccount ?? nodeAgentName,
    listen: parseSocketAddress(flags.listen ?? `[::]:${caPort}`),
    serverNames: [...serviceNames(namespace, mesh.clusterDomain), 'localhost', ...(flags.serverName ?? [])],
    certificateLifetimeMs: parseCertificateLifetime(flags.certificateLifetime),
    logLevel: parseLogLevel(flags.logLevel ?? 'info'),
  });
}

/** By which nodes may dial the controller's Service. */
export const serviceNames = (namespace: string, clusterDomain: string): readonly string[] => {
  const short = `${controllerName}.${namespace}`;
  return [short, `${short}.svc`, `${short}.svc.${clusterDomain}`];
};

function podName(environment: Environment): string {
  const name = environment['POD_NAME'] ?? environment['HOSTNAME'];
  if (name !== undefined && name !== '') return name;
  throw new MeshError('INVALID_ARGUMENT', 'the controller does not know its own name', {
    hint: 'set POD_NAME from metadata.name',
  });
}

/** Two ways to keep the authority at once would be two authorities. */
function refuseFiles({ objects, caDir, tokens }: ControllerFlags): void {
  const given = [
    objects !== undefined && '--objects',
    caDir !== undefined && '--ca-dir',
    tokens !== undefined && '--tokens',
  ].filter((flag) => flag !== false);
  if (given.length === 0) return;
  throw new MeshError('INVALID_ARGUMENT', `--kubernetes goes without ${given.join(' and ')}`, {
    hint: 'in a cluster the authority is in a Secret, and node programs have tokens of their pods',
  });
}
