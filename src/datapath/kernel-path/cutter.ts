/**
 * Ends connections that the kernel carries by itself: both ends are told, each in its pod's own namespace. Twice,
 * because a SYN may have been let in at the very moment in which the verdict was taken back, and its connection is
 * there a moment later only.
 */
import type { Clock } from '../../base/clock.ts';
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { DoomedConnection, NativeBinding } from '../../native/binding.ts';
import type { KernelConnection } from './kernel-path.ts';

export interface CutterDeps {
  readonly native: Pick<NativeBinding, 'destroySockets'>;
  /** Path of an enrolled pod's network namespace. */
  readonly netnsOf: (uid: WorkloadUid) => string | undefined;
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Logger;
}

const againAfterMs = 40;

export function createCutter({ native, netnsOf, clock, log }: CutterDeps) {
  const destroy = async (uid: WorkloadUid, doomed: readonly DoomedConnection[]): Promise<void> => {
    const netns = netnsOf(uid);
    if (netns === undefined) return;
    try {
      await native.destroySockets(netns, doomed);
    } catch (thrown) {
      log.error(
        { pod: uid, err: asMeshError(thrown) },
        'connections that are denied by now could not be ended',
      );
    }
  };
  const once = async (connections: readonly KernelConnection[]): Promise<void> => {
    // The dialling side first: its end takes the record out, and tells of it.
    for (const [uid, doomed] of perPod(connections, ({ sourceUid }) => sourceUid, dialling))
      await destroy(uid, doomed);
    for (const [uid, doomed] of perPod(connections, ({ destinationUid }) => destinationUid, dialled)) {
      await destroy(uid, doomed);
    }
  };
  return async (connections: readonly KernelConnection[]): Promise<void> => {
    if (connections.length === 0) return;
    await once(connections);
    clock.after(againAfterMs, () => void once(connections));
  };
}

const dialling = ({ source, destination, cookie }: KernelConnection): DoomedConnection => ({
  local: source,
  remote: destination,
  cookie,
});

const dialled = ({ source, destination }: KernelConnection): DoomedConnection => ({
  local: destination,
  remote: source,
  cookie: null,
});

function perPod(
  connections: readonly KernelConnection[],
  podOf: (connection: KernelConnection) => WorkloadUid | undefined,
  endOf: (connection: KernelConnection) => DoomedConnection,
): Map<WorkloadUid, DoomedConnection[]> {
  const ends = new Map<WorkloadUid, DoomedConnection[]>();
  for (const connection of connections) {
    const uid = podOf(connection);
    if (uid === undefined) continue;
    const known = ends.get(uid);
    if (known === undefined) ends.set(uid, [endOf(connection)]);
    else known.push(endOf(connection));
  }
  return ends;
}
