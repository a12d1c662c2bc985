/** The controller's configuration: flags, then environment, then defaults. */
import { MeshError } from '../../base/errors.ts';
import { parseSocketAddress, type SocketAddress } from '../../base/ip.ts';
import type { MeshConfig } from '../../model/mesh.ts';
import type { LogLevel } from '../../telemetry/admin-api.ts';
import { meshConfig, type MeshFlags } from './mesh-config.ts';
import { parseLogLevel } from './values.ts';

export interface ControllerFlags extends MeshFlags {
  readonly objects?: string;
  readonly caDir?: string;
  readonly listen?: string;
  readonly tokens?: string;
  readonly serverName?: readonly string[];
  /** Milliseconds. */
  readonly certificateLifetime?: number;
  readonly logLevel?: string;
  /** In a cluster, instead of objects, directory and tokens. */
  readonly kubernetes?: boolean;
  readonly tokenAudience?: string;
  readonly nodeServiceAccount?: string;
}

export interface ControllerConfig {
  readonly mesh: MeshConfig;
  /** Directory of Kubernetes objects as YAML. */
  readonly objects: string;
  /** Directory of the certificate authority's keys and certificates. */
  readonly caDir: string;
  readonly listen: SocketAddress;
  /** More names by which nodes reach it, for its own certificate. */
  readonly serverNames: readonly string[];
  /** Of workloads' certificates; a node may ask for less. */
  readonly certificateLifetimeMs: number;
  /** JSON file of hashed join tokens. */
  readonly tokensFile: string;
  readonly logLevel: LogLevel;
}

/** @throws MeshError INVALID_ARGUMENT naming every problem at once. */
export function controllerConfig(
  flags: ControllerFlags,
  environment: Readonly<Record<string, string | undefined>>,
): ControllerConfig {
  const { objects, tokens } = flags;
  const missing = [objects ?? '--objects DIRECTORY', tokens ?? '--tokens FILE'].filter((text) =>
    text.startsWith('--'),
  );
  if (objects === undefined || tokens === undefined) {
    throw new MeshError('INVALID_ARGUMENT', `the controller needs ${missing.join(', ')}`, {
      hint: 'see: mesh-ebpf controller --help; in a cluster: --kubernetes',
    });
  }
  return Object.freeze({
    mesh: meshConfig(flags, environment),
    objects,
    caDir: flags.caDir ?? '/var/lib/mesh-ebpf/ca',
    listen: parseSocketAddress(flags.listen ?? '0.0.0.0:15012'),
    serverNames: flags.serverName ?? [],
    certificateLifetimeMs: parseCertificateLifetime(flags.certificateLifetime),
    tokensFile: tokens,
    logLevel: parseLogLevel(flags.logLevel ?? 'info'),
  });
}

const longestLifetimeMs = 86_400_000;
/** A renewal that fails needs time to be tried again, and clocks are never quite equal. */
const shortestLifetimeMs = 60_000;

/** Milliseconds; the longest when absent. @throws MeshError INVALID_ARGUMENT */
export function parseCertificateLifetime(ms: number = longestLifetimeMs): number {
  if (ms >= shortestLifetimeMs && ms <= longestLifetimeMs) return ms;
  throw new MeshError('INVALID_ARGUMENT', '--certificate-lifetime must be from 1m to 24h');
}
