/** What the programs refused because of a NamespaceAccess, as they tell it: records of the `denials` ring. */
import type { SocketAddress } from '../../base/ip.ts';
import type { Port } from '../../base/ip.ts';
import type { Transport } from '../../model/access.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { RingBuffer } from '../../native/binding.ts';
import { decodeEach } from '../abi/field.ts';
import { denial } from '../abi/egress-layout.ts';
import type { EnrolledPod } from '../pods.ts';

export interface Denial {
  /** Milliseconds since it happened. Some may have waited for an agent. */
  readonly ageMs: number;
  /** The pod, while it is enrolled. */
  readonly uid: WorkloadUid;
  readonly destination: SocketAddress;
  readonly protocol: Transport;
  /** Refusals of this pod that nothing else is told of: too many at a time. */
  readonly untold: number;
}

/** Hands on every record until it is stopped. One of a pod that has left meanwhile is dropped. */
export function followDenials(
  deps: {
    readonly ring: Pick<RingBuffer, 'start' | 'close'>;
    readonly pods: { byId(podId: number): EnrolledPod | undefined };
    /** Nanoseconds of the monotonic clock, as the kernel's. */
    readonly monotonicNs: () => bigint;
  },
  heard: (denial: Denial) => void,
): () => void {
  deps.ring.start((bytes, ends) => {
    const now = deps.monotonicNs();
    for (const { at, podId, ip, port, protocol, untold } of decodeEach(denial, bytes, ends)) {
      const pod = deps.pods.byId(podId);
      if (pod === undefined) continue;
      const ageMs = Math.max(0, Number((now - at) / 1_000_000n));
      heard({ ageMs, uid: pod.uid, destination: { ip, port: port as Port }, protocol, untold });
    }
  });
  return () => deps.ring.close();
}
