/**
 * Brings the `egress` map to its wanted contents, and pods under the entries that are theirs. What restricts a pod is
 * the set of objects that select it; pods with the same objects share a set of entries. In what order entries are
 * written matters, because the kernel goes by the longest prefix there is:
 *
 *   longest first   an entry is written when all longer ones are: nothing below it is judged by it that should not be
 *   then the pods   a pod gets another set when that one is complete
 *   shortest last   of what is not wanted, the shorter goes before the longer, which so uncovers wanted entries only
 *
 * So at every moment, a crash included, each address is judged by the old rules or by the new ones. A set of which not
 * all fits is emptied instead: an address without an entry is refused.
 */
import { createHash } from 'node:crypto';
import { MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { NamespaceAccess } from '../../model/access.ts';
import type { ServiceKey, Workload, WorkloadUid } from '../../model/mesh.ts';
import type { PolicyKey } from '../../model/policy.ts';
import type { Change, MeshDiff, MeshView } from '../../model/view.ts';
import { type EgressRules, egressRules } from '../../policy/egress-rules.ts';
import { accessLookup } from '../../policy/namespace-access.ts';
import { type Egress, type EgressKey, maxPortRanges } from '../abi/egress-layout.ts';
import type { MapTable } from '../map-table.ts';
import type { EnrolledPod } from '../pods.ts';
import { egressEntries, type EgressEntry } from './desired.ts';

export interface EgressDeps {
  readonly egress: Pick<MapTable<EgressKey, Egress>, 'entries' | 'setAll' | 'deleteAll'>;
  readonly pods: {
    list(): readonly EnrolledPod[];
    setEgress(uid: WorkloadUid, egressSet: bigint): void;
  };
  readonly log: Logger;
}

/** Nothing restricts the pod. */
const noSet = 0n;
/** Has no entries, ever: for a pod of which nobody knows what restricts it. */
export const refusingSet = 1n;

type Entries = ReadonlyMap<string, EgressEntry>;

/** Names in rules: what they stand for changes without the rules. */
interface Mentions {
  readonly namespaces: ReadonlySet<string>;
  readonly services: ReadonlySet<ServiceKey>;
}

/** What of a change can touch a set whose objects are the same. */
type Touching = Pick<MeshDiff, 'workloads' | 'services'>;

interface AppliedSet {
  readonly entries: Entries;
  /** Undefined: found in the map, and nothing else is known of it. */
  readonly from: { readonly objects: readonly NamespaceAccess[]; readonly mentions: Mentions } | undefined;
}

export class EgressReconciler {
  readonly #deps: EgressDeps;
  #view: MeshView | undefined;
  /** What the map holds, by set. */
  #sets = new Map<bigint, AppliedSet>();
  /** The map may hold something else: to be read. */
  #unread = true;

  constructor(deps: EgressDeps) {
    this.#deps = deps;
  }

  /** How many entries there are in the map, known without asking the kernel. */
  get entries(): number {
    return [...this.#sets.values()].reduce((sum, { entries }) => sum + entries.size, 0);
  }

  /** With `diff`: looks after what it touches. Without: reads the map and repairs it, which is right at start and now and then. */
  apply(view: MeshView, diff?: MeshDiff): void {
    const whole = diff === undefined || this.#unread;
    this.#view = view;
    // Until all is done: whatever stops it, the next time begins with what is there.
    this.#unread = true;
    if (whole) this.#sets = readSets(this.#deps.egress.entries());
    const wanted = this.#wantedSets(view);
    for (const [set, objects] of wanted.sets) {
      if (this.#isStale(set, objects, whole ? undefined : diff)) this.#write(set, objects, view);
    }
    for (const [uid, set] of wanted.pods) this.#deps.pods.setEgress(uid, set);
    this.#dropUnused();
    this.#unread = false;
  }

  /** What restricts a pod that is about to be enrolled; its entries are there when this returns. */
  setFor(uid: WorkloadUid): bigint {
    const workload = this.#view?.workloads.get(uid);
    if (this.#view === undefined || workload === undefined) {
      return this.#deps.pods.list().find((pod) => pod.uid === uid)?.egressSet ?? refusingSet;
    }
    const objects = speakingOf(this.#view, workload);
    const set = setOf(objects);
    if (set !== noSet && this.#isStale(set, objects, nothingChanged)) this.#write(set, objects, this.#view);
    return set;
  }

  /** A pod that the mesh does not know (any more) keeps what it has. */
  #wantedSets(view: MeshView): {
    readonly sets: ReadonlyMap<bigint, readonly NamespaceAccess[]>;
    readonly pods: ReadonlyMap<WorkloadUid, bigint>;
  } {
    const sets = new Map<bigint, readonly NamespaceAccess[]>();
    const pods = new Map<WorkloadUid, bigint>();
    for (const { uid } of this.#deps.pods.list()) {
      const workload = view.workloads.get(uid);
      if (workload === undefined) continue;
      const objects = speakingOf(view, workload);
      const set = setOf(objects);
      pods.set(uid, set);
      if (set !== noSet) sets.set(set, objects);
    }
    return { sets, pods };
  }

  #isStale(set: bigint, objects: readonly NamespaceAccess[], diff: Touching | undefined): boolean {
    const from = this.#sets.get(set)?.from;
    if (from === undefined || diff === undefined) return true;
    const same =
      from.objects.length === objects.length && objects.every((each, i) => each === from.objects[i]);
    return !same || touches(diff, from.mentions);
  }

  #write(set: bigint, objects: readonly NamespaceAccess[], view: MeshView): void {
    const rules = egressRules(objects, view.config);
    if (rules === undefined) return;
    const from = { objects, mentions: mentionsOf(rules) };
    const wanted = byPrefix(egressEntries(rules, view).map((entry) => this.#fitting(entry, objects)));
    const found = this.#sets.get(set)?.entries ?? new Map<string, EgressEntry>();
    const news = [...wanted].filter(([key, entry]) => !isSame(found.get(key), entry));
    const olds = [...found].filter(([key]) => !wanted.has(key));
    try {
      this.#add(set, news.map(valueOf));
      this.#remove(set, olds.map(valueOf));
      this.#sets.set(set, { entries: wanted, from });
    } catch (thrown) {
      if (!(thrown instanceof MeshError && thrown.code === 'BPF_MAP_FULL')) throw thrown;
      this.#remove(set, [...new Map([...wanted, ...found]).values()]);
      this.#sets.set(set, { entries: new Map(), from });
      this.#deps.log.error(
        { code: thrown.code, map: 'egress', policies: namesOf(objects), entries: wanted.size },
        'the egress map is too small: the pods under these objects reach nothing outside the mesh, and nothing by UDP',
      );
    }
  }

  /** The kernel's entry has room for so many ranges; what does not fit stays closed. */
  #fitting(entry: EgressEntry, objects: readonly NamespaceAccess[]): EgressEntry {
    if (entry.open.length <= maxPortRanges) return entry;
    const fields = { policies: namesOf(objects), address: entry.base, ranges: entry.open.length };
    this.#deps.log.error(
      fields,
      `more than ${maxPortRanges} ranges of ports at one address: the others stay closed`,
    );
    return { ...entry, open: entry.open.slice(0, maxPortRanges) };
  }

  #add(set: bigint, entries: readonly EgressEntry[]): void {
    const longestFirst = entries.toSorted((a, b) => b.bits - a.bits);
    this.#deps.egress.setAll(longestFirst.map((entry) => [keyOf(set, entry), { open: entry.open }]));
  }

  #remove(set: bigint, entries: readonly EgressEntry[]): void {
    const shortestFirst = entries.toSorted((a, b) => a.bits - b.bits);
    this.#deps.egress.deleteAll(shortestFirst.map((entry) => keyOf(set, entry)));
  }

  #dropUnused(): void {
    const used = new Set(this.#deps.pods.list().map(({ egressSet }) => egressSet));
    for (const [set, { entries }] of this.#sets) {
      if (used.has(set)) continue;
      this.#remove(set, [...entries.values()]);
      this.#sets.delete(set);
    }
  }
}

/** The objects that have a say about a pod's egress. */
const speakingOf = (view: MeshView, workload: Workload): readonly NamespaceAccess[] =>
  accessLookup(view)(workload).filter(({ egress }) => egress !== undefined);

const nothingChanged = { workloads: [], services: [] } as const;

/**
 * The name of a set of objects, which tells it in the next agent, too: a hash, so that it never means something else
 * than it did. Two sets with one name would take somebody 2^32 objects in two namespaces of their own.
 */
function setOf(objects: readonly NamespaceAccess[]): bigint {
  if (objects.length === 0) return noSet;
  const set = createHash('sha256').update(namesOf(objects)).digest().readBigUInt64LE();
  return set > refusingSet ? set : set + 2n;
}

const namesOf = (objects: readonly { readonly key: PolicyKey }[]): string =>
  objects.map(({ key }) => key).join();

function mentionsOf({ rules }: EgressRules): Mentions {
  const targets = rules.flatMap(({ to }) => to ?? []);
  return {
    namespaces: new Set(targets.flatMap((each) => (each.type === 'namespace' ? each.namespace : []))),
    services: new Set(targets.flatMap((each) => (each.type === 'service' ? each.service : []))),
  };
}

function touches({ services, workloads }: Touching, mentions: Mentions): boolean {
  const isNamed = ({ before, after }: Change<unknown, HasNamespace>): boolean =>
    mentions.namespaces.has(before?.namespace ?? '') || mentions.namespaces.has(after?.namespace ?? '');
  return (
    services.some((change) => mentions.services.has(change.key) || isNamed(change)) || workloads.some(isNamed)
  );
}

interface HasNamespace {
  readonly namespace: string;
}

const keyOf = (set: bigint, { bits, base }: EgressEntry): EgressKey => ({ set, bits, base });

const valueOf = <V>([, value]: readonly [unknown, V]): V => value;

const byPrefix = (entries: readonly EgressEntry[]): Entries =>
  new Map(entries.map((entry) => [`${entry.base}/${entry.bits}`, entry]));

function readSets(found: readonly (readonly [EgressKey, Egress])[]): Map<bigint, AppliedSet> {
  const sets = Map.groupBy(found, ([{ set }]) => set);
  return new Map(
    [...sets].map(([set, entries]) => {
      const read = entries.map(([{ bits, base }, { open }]) => ({ bits, base, open }));
      return [set, { entries: byPrefix(read), from: undefined }];
    }),
  );
}

const isSame = (found: EgressEntry | undefined, wanted: EgressEntry): boolean =>
  found?.open.length === wanted.open.length &&
  found.open.every((range, i) => {
    const other = wanted.open[i];
    return range.protocol === other?.protocol && range.first === other.first && range.last === other.last;
  });
