/** What a node says of its pods where everybody looks: an annotation on the pod, and Events about it. Pure. */
import { createHash } from 'node:crypto';
import type { MeshError } from '../../base/errors.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { KubeObject } from '../client/kube-objects.ts';
import { redirectionAnnotation } from '../translate/workload.ts';

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

/** events.k8s.io/v1, as far as it is written here. */
export interface PodEvent extends KubeObject {
  readonly series?: EventSeries;
}

export interface EventSeries {
  /** At least 2: one is an Event without a series. */
  readonly count: number;
  /** RFC 3339 with microseconds. */
  readonly lastObservedTime: string;
}

export interface EventFacts {
  readonly pod: ReportedPod;
  readonly trouble: Trouble;
  readonly node: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** What tells one trouble of a pod from another: the same again is counted, not told anew. */
export const troubleKey = ({ reason, error }: Trouble): string => `${reason}/${error.code}`;

/** The same for every node program that meets this trouble: it adds to what its predecessor has told. */
export function eventName({ name, uid }: ReportedPod, trouble: Trouble): string {
  const hash = createHash('sha256')
    .update(`${uid} ${troubleKey(trouble)}`)
    .digest('hex')
    .slice(0, 16);
  return `${name.slice(0, longestNamePart)}.${hash}`;
}

export const firstEvent = ({ pod, trouble, node, now }: EventFacts): PodEvent & Record<string, unknown> => ({
  metadata: { namespace: pod.namespace, name: eventName(pod, trouble) },
  type: 'Warning',
  reason: trouble.reason,
  action: 'Enrol',
  note: noteOf(trouble.error),
  eventTime: microTime(now),
  reportingController: 'mesh-ebpf.io/node',
  reportingInstance: node,
  regarding: { apiVersion: 'v1', kind: 'Pod', ...pod },
});

/** Merge patch: once more than `known` says. Everything else of an Event may not change. */
export const repeatedEvent = (known: EventSeries | undefined, now: number): { series: EventSeries } => ({
  series: { count: (known?.count ?? 1) + 1, lastObservedTime: microTime(now) },
});

/** Of a name of 253 characters, as the API server allows them. */
const longestNamePart = 200;
/** The API server's limit for a note. */
const longestNoteBytes = 1024;

/** What an operator reads: what is wrong, and what to do next. */
function noteOf({ code, message, hint }: MeshError): string {
  const text = `${code}: ${message}. ${hint ?? 'Next: mesh-ebpf doctor on the node; it is tried again all the time'}`;
  const bytes = Buffer.from(text);
  if (bytes.length <= longestNoteBytes) return text;
  // A character that was cut in two becomes U+FFFD, of three bytes.
  return bytes.subarray(0, longestNoteBytes - 3).toString();
}

const microTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');
