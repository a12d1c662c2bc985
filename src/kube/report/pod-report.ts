/** What a node says of its pods where everybody looks: an annotation on the pod, and Events about it. Pure. */
import type { MeshError } from '../../base/errors.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import { redirectionAnnotation } from '../translate/workload.ts';
import type { EventText } from './cluster-event.ts';

export interface ReportedPod {
  readonly namespace: string;
  readonly name: string;
  /** The API server's, so that a namesake successor is left alone. */
  readonly uid: WorkloadUid;
}

/** Why a pod is not in the mesh although it should be. */
export interface Trouble {
  /** A word for programs, as Events have it. */
  readonly reason: 'EnrolmentFailed' | 'CaptureBroken';
  readonly error: MeshError;
}

/** Merge patch (RFC 7396). The UID makes it a conflict to meet another pod of the name. */
export const annotationPatch = ({ uid }: ReportedPod, redirected: boolean): unknown => ({
  metadata: { uid, annotations: { [redirectionAnnotation]: redirected ? 'enabled' : null } },
});

/** What tells one trouble of a pod from another: the same again is counted, not told anew. */
export const troubleKey = ({ reason, error }: Trouble): string => `${reason}/${error.code}`;

/** The same for every node program that meets this trouble: it adds to what its predecessor has told. */
export const troubleEvent = (pod: ReportedPod, trouble: Trouble): EventText => ({
  reason: trouble.reason,
  action: 'Enrol',
  note: noteOf(trouble.error),
  regarding: pod,
  key: `${pod.uid} ${troubleKey(trouble)}`,
});

/** What an operator reads: what is wrong, and what to do next. */
const noteOf = ({ code, message, hint }: MeshError): string =>
  `${code}: ${message}. ${hint ?? 'Next: mesh-ebpf doctor on the node; it is tried again all the time'}`;
