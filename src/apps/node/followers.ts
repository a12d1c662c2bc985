/** What follows the mesh model besides enrolment: the identities to hold certificates for, and the kernel's map. */
import type { Clock } from '../../base/clock.ts';
import type { Datapath } from '../../datapath/datapath.ts';
import type { CertificateManager } from '../../identity/certificate-manager.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { NodeName } from '../../model/mesh.ts';
import type { MeshReader, MeshView } from '../../model/view.ts';

/** How often the kernel's destinations are compared as a whole with what they should be. */
const repairEveryMs = 60_000;

/** Certificates for the identities of this node's pods, and for no others. Returns how to stop. */
export function followIdentities(
  mesh: MeshReader,
  node: NodeName,
  certificates: CertificateManager,
): () => void {
  const retain = (view: MeshView): void => {
    const identities = new Set<SpiffeId>();
    for (const workload of view.workloads.values()) {
      if (workload.node === node && workload.protocol === 'hbone') identities.add(workload.identity);
    }
    certificates.retain(identities);
  };
  retain(mesh.view);
  return mesh.subscribe((view, diff) => {
    if (diff.workloads.length > 0) retain(view);
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
