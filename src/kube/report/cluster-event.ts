/** Kubernetes Events (events.k8s.io/v1) as far as nodes write them: made once, then counted. */
import { createHash } from 'node:crypto';
import { MeshError } from '../../base/errors.ts';
import type { KubeClient } from '../client/kube-client.ts';
import { createObject, type KubeObject, mergeObject } from '../client/kube-objects.ts';
import { resources } from '../client/resources.ts';

interface ClusterEvent extends KubeObject {
  readonly series?: EventSeries;
}

interface EventSeries {
  /** At least 2: one is an Event without a series. */
  readonly count: number;
  /** RFC 3339 with microseconds. */
  readonly lastObservedTime: string;
}

/** A pod as Events refer to it. */
export interface EventPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface EventText {
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  readonly regarding: EventPod;
  readonly related?: EventPod | undefined;
  /** Tells it from other Events about the pod; the same for every node program that meets the same again. */
  readonly key: string;
}

/** Of a name of 253 characters, as the API server allows them. */
const longestNamePart = 200;
/** The API server's limit for a note. */
const longestNoteBytes = 1024;

/** When, by whom, and how often since it was told last. */
export interface Occurrence {
  readonly node: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly times: number;
}

/** Makes the Event, or counts it where it is. @throws MeshError by `api-refusal.ts` */
export async function tellEvent(client: KubeClient, text: EventText, occurrence: Occurrence): Promise<void> {
  try {
    await createObject(client, resources.events, firstEvent(text, occurrence));
  } catch (thrown) {
    if (!(thrown instanceof MeshError && thrown.code === 'ALREADY_EXISTS')) throw thrown;
    await repeat(client, text, occurrence);
  }
}

function eventName({ regarding: { name }, key }: EventText): string {
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 16);
  return `${name.slice(0, longestNamePart)}.${hash}`;
}

const firstEvent = (
  text: EventText,
  { node, now, times }: Occurrence,
): ClusterEvent & Record<string, unknown> => ({
  metadata: { namespace: text.regarding.namespace, name: eventName(text) },
  type: 'Warning',
  reason: text.reason,
  action: text.action,
  note: shortened(text.note),
  eventTime: microTime(now),
  reportingController: 'mesh-ebpf.io/node',
  reportingInstance: node,
  regarding: referenceTo(text.regarding),
  ...(text.related === undefined ? {} : { related: referenceTo(text.related) }),
  ...(times > 1 ? { series: { count: times, lastObservedTime: microTime(now) } } : {}),
});

const referenceTo = ({ namespace, name, uid }: EventPod): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  namespace,
  name,
  uid,
});

/** A patch of nothing answers with the object: no permission to read Events is needed. All but the series is fixed. */
async function repeat(client: KubeClient, text: EventText, { now, times }: Occurrence): Promise<void> {
  const place = { namespace: text.regarding.namespace, name: eventName(text) };
  const patch = (change: unknown): Promise<ClusterEvent> =>
    mergeObject(client, resources.events, place, change);
  const { series } = await patch({});
  const count = (series?.count ?? 1) + times;
  await patch({ series: { count, lastObservedTime: microTime(now) } });
}

function shortened(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= longestNoteBytes) return text;
  // A character that was cut in two becomes U+FFFD, of three bytes.
  return bytes.subarray(0, longestNoteBytes - 3).toString();
}

const microTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');
