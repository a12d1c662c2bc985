/** Where the CNI plugin is installed, and what it is told: part of the node program's configuration. */
import { MeshError } from '../../base/errors.ts';
import { parseSeconds } from './values.ts';

export interface CniFlags {
  readonly cniConfDir?: string;
  readonly cniBinDir?: string;
  readonly cniExcludeNamespaces?: string;
  readonly cniWaitSeconds?: string;
}

export interface CniConfig {
  /** The host's directory of network configurations, as this process sees it. */
  readonly confDir: string;
  /** The host's directory of plugins, as this process sees it. */
  readonly binDir: string;
  /** Pods of these never wait for the agent, and are captured only after they started. */
  readonly excludeNamespaces: readonly string[];
  /** How long the sandbox of any other pod waits for the agent before it is refused. */
  readonly waitSeconds: number;
}

/** A kubelet gives a sandbox two minutes; `native/cni/config.c` has the same bound. */
const longestWaitSeconds = 100;

/** @throws MeshError INVALID_ARGUMENT */
export function cniConfig(
  flags: CniFlags,
  environment: Readonly<Record<string, string | undefined>>,
): CniConfig | undefined {
  const confDir = flags.cniConfDir ?? environment['CNI_CONF_DIR'];
  const binDir = flags.cniBinDir ?? environment['CNI_BIN_DIR'];
  if (confDir === undefined && binDir === undefined) return undefined;
  if (confDir === undefined || binDir === undefined) {
    throw new MeshError('INVALID_ARGUMENT', '--cni-conf-dir and --cni-bin-dir belong together');
  }
  const waitSeconds = parseSeconds(flags.cniWaitSeconds ?? '20', '--cni-wait-seconds');
  if (waitSeconds > longestWaitSeconds) {
    throw new MeshError('INVALID_ARGUMENT', `--cni-wait-seconds must be at most ${longestWaitSeconds}`);
  }
  const named = flags.cniExcludeNamespaces?.split(',').filter(Boolean) ?? ['kube-system'];
  const own = environment['POD_NAMESPACE'];
  return {
    confDir,
    binDir,
    waitSeconds,
    excludeNamespaces: [...new Set([...named, ...(own === undefined ? [] : [own])])],
  };
}
