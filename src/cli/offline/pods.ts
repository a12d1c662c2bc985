/**
 * Pods of manifests, made such as a cluster would have them: workloads that make pods make one, a pod that runs nowhere
 * gets a node and an address that is nobody's, and Services get the endpoints that their selectors choose. Pure.
 */
import { decode } from '../../kube/decode.ts';
import {
  type EndpointSlice,
  isOfKind,
  type Pod,
  type Service,
  type SourcedObject,
} from '../../kube/objects.ts';
import { serviceNameLabel } from '../../kube/objects.ts';
import type { ForeignObject } from '../../kube/parse-manifests.ts';
import { PodSchema } from '../../kube/resources/pod.ts';
import { endpointSlices } from '../../lab/plan/endpoint-slices.ts';

/** Where the pods of manifests run. */
const nowhere = 'files';

type Loose = Readonly<Record<string, unknown>>;

const record = (value: unknown): Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Loose) : {};

/** How each kind holds the template of its pods. */
const templates: Readonly<Record<string, (spec: Loose) => unknown>> = {
  Deployment: ({ template }) => template,
  ReplicaSet: ({ template }) => template,
  StatefulSet: ({ template }) => template,
  DaemonSet: ({ template }) => template,
  Job: ({ template }) => template,
  CronJob: ({ jobTemplate }) => record(record(jobTemplate)['spec'])['template'],
};

export const makesPods = ({ kind }: ForeignObject): boolean => Object.hasOwn(templates, kind);

/** The pod that it would make; undefined if that is none. */
export function podOf({ kind, value, position }: ForeignObject): SourcedObject<Pod> | undefined {
  const template = record(templates[kind]?.(record(value['spec'])));
  const { name, namespace } = record(value['metadata']);
  const { labels, annotations } = record(template['metadata']);
  const owner = { apiVersion: 'apps/v1', kind, name, controller: true };
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels, annotations, ownerReferences: [owner] },
    spec: template['spec'],
  };
  const { value: decoded, faults } = decode(PodSchema, pod, { strict: false });
  return faults.length === 0 ? { object: decoded as Pod, position } : undefined;
}

/** All of the objects, with pods and Services completed. */
export function completed(objects: readonly SourcedObject[]): readonly SourcedObject[] {
  let count = 0;
  const placed = objects.map((sourced) =>
    isOfKind(sourced, 'Pod') ? { ...sourced, object: placedPod(sourced.object, count++) } : sourced,
  );
  return [...placed, ...missingSlices(placed)];
}

function placedPod(pod: Pod, index: number): Pod {
  const { spec, status = {} } = pod;
  const podIPs = status.podIPs ?? [{ ip: status.podIP ?? addressOf(index) }];
  const ready = [{ type: 'Ready', status: 'True' as const }];
  return {
    ...pod,
    spec: { ...spec, nodeName: spec.nodeName ?? nowhere },
    status: { phase: 'Running', conditions: ready, ...status, podIPs },
  };
}

/** One address each, of those that are set aside for documents (RFC 3849). */
const addressOf = (index: number): string =>
  `2001:db8::${(index >>> 16).toString(16)}:${((index & 0xffff) + 1).toString(16)}`;

/** For Services of which no slice is written down. */
function missingSlices(objects: readonly SourcedObject[]): readonly SourcedObject<EndpointSlice>[] {
  const pods = objects.flatMap((sourced) => (isOfKind(sourced, 'Pod') ? [sourced.object] : []));
  const sliced = new Set(
    objects.flatMap((sourced) =>
      isOfKind(sourced, 'EndpointSlice')
        ? [`${sourced.object.metadata.namespace}/${sourced.object.metadata.labels?.[serviceNameLabel]}`]
        : [],
    ),
  );
  const services = objects.flatMap((sourced) =>
    isOfKind(sourced, 'Service') && !sliced.has(serviceName(sourced.object)) ? [sourced.object] : [],
  );
  const byNamespace = Map.groupBy(pods, ({ metadata }) => metadata.namespace);
  return services.flatMap((service) => slicesOf(service, byNamespace.get(service.metadata.namespace) ?? []));
}

function slicesOf(service: Service, pods: readonly Pod[]): readonly SourcedObject<EndpointSlice>[] {
  const nodes = Map.groupBy(pods, ({ spec }) => spec.nodeName ?? nowhere);
  return [...nodes].flatMap(([node, own]) =>
    endpointSlices(node, [service], own).map((object) => ({ object, position: undefined })),
  );
}

const serviceName = ({ metadata: { namespace, name } }: Service): string => `${namespace}/${name}`;
