/** The node's source of objects, as configured: a directory, or the API server with what it said last on disk. */
import { asMeshError } from '../../base/errors.ts';
import { ApiSource, type Progress } from '../../kube/api/api-source.ts';
import { ApiConnection } from '../../kube/api/connection.ts';
import { nodeFeeds } from '../../kube/api/feed.ts';
import type { ApiServer } from '../../kube/client/kube-client.ts';
import { fromKubeconfig, fromPod } from '../../kube/client/kube-config.ts';
import { RecordedSource } from '../../kube/snapshot/recorded-source.ts';
import { readSnapshot, SnapshotFile } from '../../kube/snapshot/snapshot-file.ts';
import { SnapshotKeeper } from '../../kube/snapshot/snapshot-keeper.ts';
import type { Kind } from '../../kube/objects.ts';
import type { ObjectSource, SourceCondition } from '../../kube/source.ts';
import { YamlDirectory } from '../../kube/yaml-directory.ts';
import type { ObjectsConfig } from '../config/node-config.ts';
import { countForbidden } from '../forbidden.ts';
import type { Foundation } from './parts.ts';

export interface Objects {
  readonly source: ObjectSource;
  /** Undefined for a directory. */
  readonly server: ApiServer | undefined;
  /** How far kinds were read. Undefined for a directory. */
  readonly progress: ((kinds: readonly Kind[]) => readonly Progress[]) | undefined;
}

/** @throws MeshError for a kubeconfig that cannot be used */
export async function openObjects(foundation: Foundation, stop: AbortSignal): Promise<Objects> {
  const { config, clock, log } = foundation;
  const { objects } = config;
  switch (objects.type) {
    case 'directory':
      return {
        source: new YamlDirectory({ clock, log }, { path: objects.path }),
        server: undefined,
        progress: undefined,
      };
    case 'api':
      return openApi(foundation, objects, stop);
  }
}

async function openApi(
  { config, clock, log: rootLog, version, cleanup, metrics }: Foundation,
  { kubeconfig, snapshotFile }: Extract<ObjectsConfig, { type: 'api' }>,
  stop: AbortSignal,
): Promise<Objects> {
  const log = rootLog.child({ scope: 'source' });
  const server = kubeconfig === undefined ? await fromPod() : await fromKubeconfig({ kubeconfig });
  const connection = new ApiConnection(clock, server, `mesh-ebpf/${version}`);
  const source = `kubernetes ${connection.server}`;
  let unusable: SourceCondition | undefined;
  const lastGood = await readSnapshot(snapshotFile, source).catch((thrown: unknown) => {
    const error = asMeshError(thrown, 'SNAPSHOT');
    log.warn({ code: error.code }, error.message);
    unusable = { subject: 'snapshot', error, since: clock.now() };
    return undefined;
  });
  const forbidden = countForbidden(metrics);
  const api = new ApiSource(
    { connection, clock, log, forbidden },
    { feeds: nodeFeeds(config.nodeName), lastGood },
  );
  const knownAt = (): number => api.status().lastEventAt ?? lastGood?.writtenAt ?? clock.now();
  const keeper = new SnapshotKeeper({ file: new SnapshotFile(snapshotFile), clock, log, source, knownAt });
  // Not only when connections have finished: the node program that takes over writes the same file.
  stop.addEventListener('abort', () => void keeper.close());
  cleanup.defer(() => keeper.close());
  return {
    source: new RecordedSource(api, keeper, unusable),
    server,
    progress: (kinds) => api.progress(kinds),
  };
}
