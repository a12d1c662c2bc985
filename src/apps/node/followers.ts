/** What follows the mesh model besides enrolment: the identities to hold certificates for, and the kernel's map. */
import type { Clock } from '../../base/clock.ts';
import type { Datapath } from '../../datapath/datapath.ts';
import type { CertificateManager } from '../../identity/certificate-manager.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { NodeName, Workload, WorkloadUid } from '../../model/mesh.ts';
import type { MeshReader } from '../../model/view.ts';

/** How often the kernel's destinations are compared as a whole with what they should be. */
const repairEveryMs = 60_000;

/** Certificates for the identities of this node's pods, and for no others; other nodes' pods cost nothing. Returns how to stop. */
export function followIdentities(
  mesh: MeshReader,
  node: NodeName,
  certificates: CertificateManager,
): () => void {
  const own = new Map<WorkloadUid, SpiffeId>();
  const note = (uid: WorkloadUid, workload: Workload | undefined): boolean => {
    const identity = workload?.node === node && workload.protocol === 'hbone' ? workload.identity : undefined;
    if (own.get(uid) === identity) return false;
    if (identity === undefined) own.delete(uid);
    else own.set(uid, identity);
    return true;
  };
  for (const [uid, workload] of mesh.view.workloads) note(uid, workload);
  certificates.retain(new Set(own.values()));
  return mesh.subscribe((_, { workloads }) => {
    const changed = workloads.filter(({ key, after }) => note(key, after));
    if (changed.length > 0) certificates.retain(new Set(own.values()));
  });
}

/** The kernel's destinations follow the mesh; now and then all of them are compared and repaired. */
export function followDestinations(mesh: MeshReader, datapath: Datapath, clock: Clock): () => void {
  datapath.apply(mesh.view);
  const unsubscribe = mesh.subscribe((view, diff) => void datapath.apply(view, diff));
  const repair = (): void => {
    datapath.apply(mesh.view);
    cancel = clock.after(repairEveryMs, repair);
  };
  let cancel = clock.after(repairEveryMs, repair);
  return () => {
    unsubscribe();
    cancel();
  };
}
