/**
 * A connection between two pods of this node that the kernel hands to ztunnel, because it has no verdict about them: it
 * came in as plaintext, and the kernel says whose socket it is. It is judged as one that came through HBONE with that
 * pod's certificate, and an answer of yes is left with the kernel for the next one.
 */
import { MeshError } from '../base/errors.ts';
import { formatSocketAddress } from '../base/ip.ts';
import type { Dialler, KernelPath } from '../datapath/kernel-path/kernel-path.ts';
import type { MeshView } from '../model/view.ts';
import type { PlaintextArrival } from '../net/engine.ts';
import { dialledFacts, type Facts, isRefusal, podPeer, type Refusal, refuse, type Step } from './facts.ts';
import { newTraceId } from './headers.ts';
import { type PlaintextEnds, plaintextFacts } from './inbound.ts';

/** What the decider needs of the kernel path. */
export type KernelPathDoor = Pick<KernelPath, 'dialler' | 'generation' | 'allow' | 'scope'>;

export function judgePlaintext(
  view: MeshView,
  arrival: PlaintextArrival,
  kernelPath: KernelPathDoor,
  inbound: Step,
): Facts | Refusal {
  // With `view`, before anything is decided: an answer about a mesh that has changed since does not count.
  const { generation } = kernelPath;
  const { client, local, pod } = arrival;
  const dialler = kernelPath.dialler(client, local);
  if (dialler.type === 'stranger') return inbound(plaintextFacts(view, arrival));
  const facts = localFacts(view, arrival, dialler);
  if (isRefusal(facts)) return facts;
  const judged = inbound(facts);
  if (!isRefusal(judged) && dialler.type === 'pod') {
    kernelPath.allow(dialler.podId, client, local, pod.uid, generation);
  }
  return judged;
}

type KnownDialler = Exclude<Dialler, { readonly type: 'stranger' }>;

/** Of a connection that is there, or that the dialler may make. */
export function localFacts(view: MeshView, arrival: PlaintextEnds, dialler: KnownDialler): Facts | Refusal {
  const facts = {
    ...plaintextFacts(view, arrival),
    ...dialledFacts(view, dialler.dialled ?? arrival.local),
    path: 'local',
    traceId: newTraceId(),
  } as const;
  const workload = dialler.type === 'pod' ? view.workloads.get(dialler.uid) : undefined;
  if (workload !== undefined) return { ...facts, source: podPeer(arrival.client, workload) };
  const client = formatSocketAddress(arrival.client);
  return refuse(
    facts,
    'capture',
    new MeshError(
      'UNKNOWN_SOURCE',
      `the pod that dials from ${client} is not in the mesh (yet, or any more)`,
      {
        hint: 'a pod of this node may dial others from its own addresses only',
      },
    ),
  );
}
