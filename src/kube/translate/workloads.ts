/** All pods → workloads, change by change. A pod is translated again when it or its namespace's wishes change. */
import { MeshError } from '../../base/errors.ts';
import type { MeshConfig, Workload, WorkloadUid } from '../../model/mesh.ts';
import type { PendingWorkload } from '../../model/pod-lookup.ts';
import type { Namespace, ObjectKey, Pod, SourcedObject } from '../objects.ts';
import { objectKey } from '../objects.ts';
import { formatProblem, type Problem } from '../problem.ts';
import { guarded } from './guarded.ts';
import { objectProblem } from './problem.ts';
import {
  dataplaneModeLabel,
  type NamespaceWishes,
  pendingWorkload,
  accelerateAnnotation,
  sameNodeAnnotation,
  translatePod,
  type TranslatedPod,
} from './workload.ts';

interface KnownPod {
  readonly pod: SourcedObject<Pod>;
  readonly workload: Workload | undefined;
}

export class Workloads {
  readonly #config: MeshConfig;
  readonly #pods = new Map<ObjectKey, KnownPod>();
  readonly #byNamespace = new Map<string, Set<ObjectKey>>();
  readonly #wishes = new Map<string, NamespaceWishes>();
  /** Pods that have a UID: one, unless somebody copied a manifest. */
  readonly #claimants = new Map<WorkloadUid, readonly ObjectKey[]>();
  readonly #faults = new Map<ObjectKey, Problem>();
  readonly #duplicates = new Map<WorkloadUid, readonly Problem[]>();
  /** Pods to translate again. */
  readonly #dirty = new Set<ObjectKey>();
  /** UIDs whose workload may have changed. */
  readonly #touched = new Set<WorkloadUid>();

  constructor(config: MeshConfig) {
    this.#config = config;
  }

  get problems(): readonly Problem[] {
    return [...this.#faults.values(), ...[...this.#duplicates.values()].flat()];
  }

  setNamespace({ object: { metadata } }: SourcedObject<Namespace>): void {
    this.#setWishes(metadata.name, {
      mode: metadata.labels?.[dataplaneModeLabel],
      sameNode: metadata.annotations?.[sameNodeAnnotation],
      accelerate: metadata.annotations?.[accelerateAnnotation],
    });
  }

  deleteNamespace(name: string): void {
    this.#setWishes(name, none);
  }

  setPod(pod: SourcedObject<Pod>): void {
    const key = objectKey(pod.object);
    const { namespace } = pod.object.metadata;
    this.#pods.set(key, { pod, workload: this.#pods.get(key)?.workload });
    const neighbours = this.#byNamespace.get(namespace);
    if (neighbours === undefined) this.#byNamespace.set(namespace, new Set([key]));
    else neighbours.add(key);
    this.#dirty.add(key);
  }

  deletePod(key: ObjectKey): void {
    const known = this.#pods.get(key);
    if (known === undefined) return;
    const { namespace } = known.pod.object.metadata;
    const neighbours = this.#byNamespace.get(namespace);
    neighbours?.delete(key);
    if (neighbours?.size === 0) this.#byNamespace.delete(namespace);
    this.#claim(key, known.workload, undefined);
    this.#pods.delete(key);
    this.#faults.delete(key);
    this.#dirty.delete(key);
  }

  /**
   * A pod with or without addresses; undefined while there is none of that name.
   * @throws MeshError INVALID_MANIFEST when it cannot be understood
   */
  pending(namespace: string, name: string): PendingWorkload | undefined {
    const known = this.#pods.get(`Pod/${namespace}/${name}` as ObjectKey);
    if (known === undefined) return undefined;
    const pending = pendingWorkload(known.pod, this.#wishesOf(namespace), this.#config);
    if ('problem' in pending) throw new MeshError('INVALID_MANIFEST', formatProblem(pending.problem));
    return pending;
  }

  /** What changed since the last call, oldest pod first. */
  takeChanges(): ReadonlyMap<WorkloadUid, Workload | undefined> {
    for (const key of this.#dirty) this.#translate(key);
    this.#dirty.clear();
    const chosen = [...this.#touched].map((uid) => ({ uid, known: this.#choose(uid) }));
    this.#touched.clear();
    return new Map(
      chosen.toSorted((a, b) => byAge(a.known, b.known)).map(({ uid, known }) => [uid, known?.workload]),
    );
  }

  #wishesOf(namespace: string): NamespaceWishes {
    return this.#wishes.get(namespace) ?? none;
  }

  #setWishes(namespace: string, wishes: NamespaceWishes): void {
    const before = this.#wishesOf(namespace);
    if (isSame(before, wishes)) return;
    if (isSame(wishes, none)) this.#wishes.delete(namespace);
    else this.#wishes.set(namespace, wishes);
    this.#byNamespace.get(namespace)?.forEach((key) => this.#dirty.add(key));
  }

  #translate(key: ObjectKey): void {
    const known = this.#pods.get(key);
    if (known === undefined) return;
    const { pod } = known;
    const { workload, problem } = guarded<TranslatedPod>(
      pod,
      () => translatePod(pod, this.#wishesOf(pod.object.metadata.namespace), this.#config),
      (bug) => ({ workload: known.workload, problem: bug }),
    );
    if (problem === undefined) this.#faults.delete(key);
    else this.#faults.set(key, problem);
    this.#pods.set(key, { pod, workload });
    this.#claim(key, known.workload, workload);
  }

  #claim(key: ObjectKey, before: Workload | undefined, after: Workload | undefined): void {
    for (const uid of new Set([before?.uid, after?.uid])) {
      if (uid === undefined) continue;
      const others = (this.#claimants.get(uid) ?? []).filter((claimant) => claimant !== key);
      const claimants = uid === after?.uid ? [...others, key] : others;
      if (claimants.length === 0) this.#claimants.delete(uid);
      else this.#claimants.set(uid, claimants);
      this.#touched.add(uid);
    }
  }

  /** The oldest of the pods with one UID; the others are reported. */
  #choose(uid: WorkloadUid): KnownPod | undefined {
    const claimants = (this.#claimants.get(uid) ?? []).map((key) => this.#pods.get(key)).filter(isPresent);
    if (claimants.length < 2) {
      this.#duplicates.delete(uid);
      return claimants[0];
    }
    const [first, ...others] = claimants.toSorted(byAge);
    const name = `${first?.workload?.namespace}/${first?.workload?.name}`;
    const problems = others.map(({ pod }) =>
      objectProblem(pod, 'metadata.uid', `pod ${name} has this UID already`),
    );
    this.#duplicates.set(uid, problems);
    return first;
  }
}

const none: NamespaceWishes = { mode: undefined, sameNode: undefined, accelerate: undefined };

const isSame = (a: NamespaceWishes, b: NamespaceWishes): boolean =>
  a.mode === b.mode && a.sameNode === b.sameNode && a.accelerate === b.accelerate;

const isPresent = <T>(value: T | undefined): value is T => value !== undefined;

/**
 * RFC 3339 in UTC, as Kubernetes writes it, sorts as text; pods without a time count as old. The name decides between
 * pods of one age, so that the same objects make the same state in whatever order they came.
 */
function byAge(a: KnownPod | undefined, b: KnownPod | undefined): number {
  const first = ageKey(a);
  const second = ageKey(b);
  if (first === second) return 0;
  return first < second ? -1 : 1;
}

function ageKey(known: KnownPod | undefined): string {
  if (known === undefined) return '';
  const { creationTimestamp = '', namespace, name } = known.pod.object.metadata;
  return `${creationTimestamp} ${namespace}/${name}`;
}
