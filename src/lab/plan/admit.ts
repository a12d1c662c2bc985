/**
 * What the API server, the scheduler and the address allocators do to new objects, as one pure function: manifests
 * and the present state in, complete objects out (uid, node, addresses, default names), or every problem at once.
 */
import { isDeepStrictEqual } from 'node:util';
import { asMeshError } from '../../base/errors.ts';
import type { KubeObject, Pod, SourcedObject } from '../../kube/objects.ts';
import { namespaceOf, objectKey, referenceTo } from '../../kube/objects.ts';
import type { Problem, SourcePosition } from '../../kube/problem.ts';
import type { LabNode } from '../topology.ts';
import { accountOf, placePod, updatePod } from './admit-pod.ts';
import { addressService } from './admit-service.ts';
import type { Leases } from './allocate.ts';
import { fault, unsupported } from './supported.ts';
import type { Fault } from './supported.ts';

export interface AdmissionInput {
  readonly manifests: readonly SourcedObject[];
  /** By `objectKey`. */
  readonly existing: ReadonlyMap<string, KubeObject>;
  readonly nodes: readonly LabNode[];
  readonly leases: Leases;
  /** RFC 3339. */
  readonly now: string;
  readonly newUid: () => string;
}

export interface Admitted {
  readonly object: KubeObject;
  readonly action: 'created' | 'configured' | 'unchanged';
}

export interface Admission {
  readonly admitted: readonly Admitted[];
  readonly leases: Leases;
  /** If there is an error among them, nothing is to be written. */
  readonly problems: readonly Problem[];
}

/** Parents first, so that what is declared below its use is found all the same. */
const order: readonly KubeObject['kind'][] = [
  'Namespace',
  'ServiceAccount',
  'Node',
  'Service',
  'EndpointSlice',
  'AuthorizationPolicy',
  'PeerAuthentication',
  'NamespaceAccess',
  'Pod',
];

const rank = ({ object }: SourcedObject): number => order.indexOf(object.kind);

export function admit(input: AdmissionInput): Admission {
  const session = new AdmissionSession(input);
  for (const manifest of input.manifests.toSorted((a, b) => rank(a) - rank(b))) session.add(manifest);
  return session.result();
}

/** Objects admitted so far count as existing for the next ones. */
class AdmissionSession {
  readonly #input: AdmissionInput;
  readonly #objects: Map<string, KubeObject>;
  readonly #admitted: Admitted[] = [];
  readonly #problems: Problem[] = [];
  readonly #leases: Record<string, number>;

  constructor(input: AdmissionInput) {
    this.#input = input;
    this.#objects = new Map(input.existing);
    this.#leases = { ...input.leases };
  }

  result(): Admission {
    return { admitted: this.#admitted, leases: this.#leases, problems: this.#problems };
  }

  add({ object, position }: SourcedObject): void {
    const faults = [...unsupported(object), ...this.#missingParents(object)];
    this.#problems.push(...faults.map((found) => asProblem(object, position, found)));
    if (faults.some(({ severity }) => severity === 'error')) return;
    try {
      this.#keep(this.#completed(object));
    } catch (thrown) {
      const { message, hint } = asMeshError(thrown);
      this.#problems.push(asProblem(object, position, fault('', message, hint)));
    }
  }

  #keep(object: KubeObject): void {
    const before = this.#objects.get(objectKey(object));
    const changed = isDeepStrictEqual(before, object) ? 'unchanged' : 'configured';
    this.#objects.set(objectKey(object), object);
    this.#admitted.push({ object, action: before === undefined ? 'created' : changed });
    if (before === undefined && object.kind === 'Namespace') this.#keepDefaultAccount(object.metadata.name);
  }

  /** Every namespace has one, as Kubernetes makes it. */
  #keepDefaultAccount(namespace: string): void {
    const metadata = { name: 'default', namespace };
    this.#keep(this.#identified({ apiVersion: 'v1', kind: 'ServiceAccount', metadata }));
  }

  #missingParents(object: KubeObject): readonly Fault[] {
    const namespace = namespaceOf(object);
    if (namespace !== '' && !this.#objects.has(`Namespace//${namespace}`)) {
      return [fault('metadata.namespace', `there is no namespace "${namespace}"`)];
    }
    if (object.kind !== 'Pod') return [];
    const account = accountOf(object);
    if (this.#objects.has(`ServiceAccount/${namespace}/${account}`)) return [];
    return [fault('spec.serviceAccountName', `namespace "${namespace}" has no service account "${account}"`)];
  }

  #completed(object: KubeObject): KubeObject {
    const before = this.#objects.get(objectKey(object));
    switch (object.kind) {
      case 'Pod': {
        const pod = this.#identified(object);
        return before?.kind === 'Pod' ? updatePod(before, pod) : this.#placed(pod);
      }
      case 'Service': {
        const others = this.#existing('Service').filter((other) => other !== before);
        return this.#identified(
          addressService(object, before?.kind === 'Service' ? before : undefined, others),
        );
      }
      case 'Namespace':
      case 'ServiceAccount':
      case 'Node':
      case 'EndpointSlice':
      case 'AuthorizationPolicy':
      case 'PeerAuthentication':
      case 'NamespaceAccess':
        return this.#identified(object);
    }
  }

  #placed(pod: Pod): Pod {
    const { pod: placed, node, host } = placePod(pod, this.#input.nodes, this.#existing('Pod'), this.#leases);
    this.#leases[node.name] = host;
    return placed;
  }

  #existing<K extends KubeObject['kind']>(kind: K): Extract<KubeObject, { readonly kind: K }>[] {
    return [...this.#objects.values()].filter(
      (object): object is Extract<KubeObject, { readonly kind: K }> => object.kind === kind,
    );
  }

  /** uid and creation time: a known object keeps its own, whatever the manifest says. */
  #identified<Object extends KubeObject>(object: Object): Object {
    const before = this.#objects.get(objectKey(object))?.metadata;
    const uid = before?.uid ?? this.#input.newUid();
    const creationTimestamp = before?.creationTimestamp ?? this.#input.now;
    return { ...object, metadata: { ...object.metadata, uid, creationTimestamp } };
  }
}

const asProblem = (object: KubeObject, position: SourcePosition | undefined, found: Fault): Problem => ({
  ...found,
  object: referenceTo(object),
  position,
});
