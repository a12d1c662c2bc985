/**
 * Objects → one state of the mesh. Remembers what it made of each object, so that the cost of the next state is the
 * cost of what changed; and the last good version of each policy, which stays in force while the policy is invalid.
 */
import type {
  AuthorizationPolicy,
  MeshConfig,
  MeshState,
  Service,
  Workload,
  WorkloadUid,
} from '../../model/mesh.ts';
import type {
  AuthorizationPolicyObject,
  EndpointSlice,
  Kind,
  Namespace,
  ObjectOfKind,
  Pod,
  Service as KubeService,
  SourcedObject,
} from '../objects.ts';
import { objectKey, serviceNameLabel } from '../objects.ts';
import type { Problem } from '../problem.ts';
import { translatePolicy } from './authorization-policy.ts';
import { objectProblem } from './problem.ts';
import { translateService, type TranslatedService } from './service.ts';
import { dataplaneModeLabel, translatePod, type TranslatedPod } from './workload.ts';

export interface Translation {
  readonly state: MeshState;
  readonly problems: readonly Problem[];
}

interface PodMemo {
  readonly namespaceMode: string | undefined;
  readonly result: TranslatedPod;
}

interface ServiceMemo {
  readonly slices: readonly SourcedObject<EndpointSlice>[];
  readonly result: TranslatedService;
}

export class Translator {
  readonly #config: MeshConfig;
  readonly #pods = new WeakMap<SourcedObject, PodMemo>();
  readonly #services = new WeakMap<SourcedObject, ServiceMemo>();
  /** By object key; holds policies that are still there. */
  #lastGoodPolicies: ReadonlyMap<string, AuthorizationPolicy> = new Map();

  constructor(config: MeshConfig) {
    this.#config = config;
  }

  translate(objects: readonly SourcedObject[]): Translation {
    const problems: Problem[] = [];
    const workloads = this.#workloads(
      ofKind(objects, 'Pod'),
      modesOf(ofKind(objects, 'Namespace')),
      problems,
    );
    const slices = slicesByService(ofKind(objects, 'EndpointSlice'));
    const services = this.#translateServices(ofKind(objects, 'Service'), slices, problems);
    const policies = this.#translatePolicies(ofKind(objects, 'AuthorizationPolicy'), problems);
    return { state: { workloads, services, policies }, problems };
  }

  #workloads(
    pods: readonly SourcedObject<Pod>[],
    modes: ReadonlyMap<string, string | undefined>,
    problems: Problem[],
  ): readonly Workload[] {
    const byUid = new Map<WorkloadUid, Workload>();
    for (const pod of pods.toSorted(byAge)) {
      const { workload, problem } = this.#pod(pod, modes.get(pod.object.metadata.namespace));
      if (problem !== undefined) problems.push(problem);
      if (workload === undefined) continue;
      const namesake = byUid.get(workload.uid);
      if (namesake === undefined) byUid.set(workload.uid, workload);
      else {
        const message = `pod ${namesake.namespace}/${namesake.name} has this UID already`;
        problems.push(objectProblem(pod, 'metadata.uid', message));
      }
    }
    return [...byUid.values()];
  }

  #pod(pod: SourcedObject<Pod>, namespaceMode: string | undefined): TranslatedPod {
    const known = this.#pods.get(pod);
    if (known !== undefined && known.namespaceMode === namespaceMode) return known.result;
    const result = translatePod(pod, namespaceMode, this.#config);
    this.#pods.set(pod, { namespaceMode, result });
    return result;
  }

  #translateServices(
    services: readonly SourcedObject<KubeService>[],
    slices: SlicesByService,
    problems: Problem[],
  ): readonly Service[] {
    return services.flatMap((service) => {
      const { namespace, name } = service.object.metadata;
      const { service: translated, problems: found } = this.#service(
        service,
        slices.get(`${namespace}/${name}`) ?? [],
      );
      problems.push(...found);
      return translated === undefined ? [] : [translated];
    });
  }

  #service(
    service: SourcedObject<KubeService>,
    slices: readonly SourcedObject<EndpointSlice>[],
  ): TranslatedService {
    const known = this.#services.get(service);
    if (known !== undefined && sameItems(known.slices, slices)) return known.result;
    const result = translateService(service, slices, this.#config);
    this.#services.set(service, { slices, result });
    return result;
  }

  #translatePolicies(
    policies: readonly SourcedObject<AuthorizationPolicyObject>[],
    problems: Problem[],
  ): readonly AuthorizationPolicy[] {
    const good = new Map<string, AuthorizationPolicy>();
    const inForce: AuthorizationPolicy[] = [];
    for (const sourced of policies) {
      const key = objectKey(sourced.object);
      const { policy, valid, problems: found } = translatePolicy(sourced, this.#config);
      problems.push(...found);
      const lastGood = valid ? policy : this.#lastGoodPolicies.get(key);
      if (lastGood !== undefined) good.set(key, lastGood);
      const chosen = lastGood ?? policy;
      if (chosen !== undefined) inForce.push(chosen);
    }
    this.#lastGoodPolicies = good;
    return inForce;
  }
}

const ofKind = <K extends Kind>(
  objects: readonly SourcedObject[],
  kind: K,
): readonly SourcedObject<ObjectOfKind<K>>[] =>
  objects.filter((sourced): sourced is SourcedObject<ObjectOfKind<K>> => sourced.object.kind === kind);

/** Namespace → its dataplane-mode label. */
const modesOf = (namespaces: readonly SourcedObject<Namespace>[]): ReadonlyMap<string, string | undefined> =>
  new Map(
    namespaces.map(({ object }) => [object.metadata.name, object.metadata.labels?.[dataplaneModeLabel]]),
  );

/** RFC 3339 in UTC, as Kubernetes writes it, sorts as text; pods without a time count as old. */
function byAge({ object: a }: SourcedObject<Pod>, { object: b }: SourcedObject<Pod>): number {
  const first = a.metadata.creationTimestamp ?? '';
  const second = b.metadata.creationTimestamp ?? '';
  if (first === second) return 0;
  return first < second ? -1 : 1;
}

type SlicesByService = ReadonlyMap<string, readonly SourcedObject<EndpointSlice>[]>;

/** Slices by `NAMESPACE/NAME` of the Service they name. */
const slicesByService = (slices: readonly SourcedObject<EndpointSlice>[]): SlicesByService =>
  Map.groupBy(slices, ({ object: { metadata } }) => {
    const service = metadata.labels?.[serviceNameLabel] ?? '';
    return `${metadata.namespace}/${service}`;
  });

const sameItems = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i]);
