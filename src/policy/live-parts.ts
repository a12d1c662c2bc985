/**
 * All policies as parts, one for each set of workloads that somebody's policies are for: the mesh, a namespace, a selector,
 * the Services of a `targetRefs`. A change costs what changed, however many policies there are.
 */
import type { Service, ServiceKey, Workload } from '../model/mesh.ts';
import type { AuthorizationPolicy, PolicyScope } from '../model/policy.ts';
import type { MeshView } from '../model/view.ts';
import { labelsOf, labelText, selects, servicesNamed } from './applicable.ts';
import { scopeKey } from './scope-key.ts';
import { LivePart, type RuleCompiler } from './policy-set.ts';
import { withDefault } from './with-default.ts';

/** Policies with one scope in one namespace. */
interface Group {
  readonly namespace: string;
  readonly scope: PolicyScope;
  /** Under which it is found. */
  readonly label: string;
  readonly policies: Map<string, AuthorizationPolicy>;
  /** Made when it is first asked for. */
  part: LivePart | undefined;
}

/** Groups by a label that their pods must have; those for Services under none. */
type Shelf = Map<string, Set<Group>>;

const noLabel = '';

/** Each part costs a decision its look-ups: what selects a workload in more ways than this is taken together. */
export const usualParts = 16;

/** Policies of several groups, for workloads that all of them select. */
interface Combined {
  readonly groups: ReadonlySet<Group>;
  readonly part: LivePart;
}

export class LiveParts {
  readonly #compiler: RuleCompiler;
  readonly #maxParts: number;
  readonly #rootNamespace: string;
  readonly #groups = new Map<string, Group>();
  readonly #shelves = new Map<string, Shelf>();
  /** By the keys of their groups; until some group comes or goes. */
  readonly #combined = new Map<string, Combined>();
  /** Services that policies name, and how many do. */
  readonly #named = new Map<ServiceKey, number>();

  constructor({ rootNamespace }: MeshView['config'], compiler: RuleCompiler, maxParts: number) {
    this.#rootNamespace = rootNamespace;
    this.#compiler = compiler;
    this.#maxParts = maxParts;
  }

  get servicesNamed(): Iterable<ServiceKey> {
    return this.#named.keys();
  }

  /** Returns whether workloads have other parts now, and not only other policies in them. */
  change(before: AuthorizationPolicy | undefined, after: AuthorizationPolicy | undefined): boolean {
    const isGone = before !== undefined && this.#delete(before);
    const isNew = after !== undefined && this.#add(after);
    if (isGone || isNew) this.#combined.clear();
    return isGone || isNew;
  }

  /** @param services by which it is told who serves them */
  partsFor(workload: Workload, services: ReadonlyMap<ServiceKey, Service>): readonly LivePart[] {
    const { namespace } = workload;
    const wide = [
      scopeKey({ namespace: this.#rootNamespace, scope: { type: 'mesh' } }),
      scopeKey({ namespace, scope: { type: 'namespace' } }),
    ];
    const places = new Set([this.#rootNamespace, namespace]);
    const selecting = [...places].flatMap((place) => this.#selecting(place, workload, services));
    return [
      ...wide.flatMap((key) => this.#groups.get(key) ?? []).map((group) => this.#partOf(group)),
      ...(selecting.length > this.#maxParts
        ? [this.#combinedPart(selecting)]
        : selecting.map((group) => this.#partOf(group))),
    ];
  }

  #combinedPart(groups: readonly Group[]): LivePart {
    const key = groups.map(scopeKey).join('\n');
    const { part } = withDefault(this.#combined, key, () => ({
      groups: new Set(groups),
      part: new LivePart(byKey(groups.flatMap(({ policies }) => [...policies.values()])), this.#compiler),
    }));
    return part;
  }

  #combinedOf(group: Group): readonly LivePart[] {
    return [...this.#combined.values()].filter(({ groups }) => groups.has(group)).map(({ part }) => part);
  }

  #selecting(
    place: string,
    workload: Workload,
    services: ReadonlyMap<ServiceKey, Service>,
  ): readonly Group[] {
    const shelf = this.#shelves.get(place);
    if (shelf === undefined) return [];
    return [noLabel, ...Object.entries(workload.labels).map(labelText)]
      .flatMap((label) => [...(shelf.get(label) ?? [])])
      .filter(({ scope }) => selects(scope, workload, services));
  }

  #partOf(group: Group): LivePart {
    group.part ??= new LivePart(byKey([...group.policies.values()]), this.#compiler);
    return group.part;
  }

  #add(policy: AuthorizationPolicy): boolean {
    const { key, namespace, scope } = policy;
    for (const service of servicesNamed(policy))
      this.#named.set(service, (this.#named.get(service) ?? 0) + 1);
    const group = this.#groupOf(namespace, scope);
    group.policies.set(key, policy);
    for (const part of [group.part, ...this.#combinedOf(group)]) part?.add(policy);
    return group.policies.size === 1;
  }

  #groupOf(namespace: string, scope: PolicyScope): Group {
    return withDefault(this.#groups, scopeKey({ namespace, scope }), () => this.#newGroup(namespace, scope));
  }

  #newGroup(namespace: string, scope: PolicyScope): Group {
    const shelf = withDefault(this.#shelves, namespace, () => new Map<string, Set<Group>>());
    const label = rarest(shelf, scope);
    const group: Group = { namespace, scope, label, policies: new Map(), part: undefined };
    const isSelecting = scope.type === 'selector' || scope.type === 'services';
    if (isSelecting) withDefault(shelf, label, () => new Set<Group>()).add(group);
    return group;
  }

  #delete(policy: AuthorizationPolicy): boolean {
    const { key, namespace, scope } = policy;
    for (const service of servicesNamed(policy)) this.#unname(service);
    const group = this.#groupOf(namespace, scope);
    group.policies.delete(key);
    for (const part of [group.part, ...this.#combinedOf(group)]) part?.delete(policy);
    if (group.policies.size > 0) return false;
    this.#groups.delete(scopeKey({ namespace, scope }));
    const shelf = this.#shelves.get(namespace);
    const mates = shelf?.get(group.label);
    mates?.delete(group);
    if (mates?.size === 0) shelf?.delete(group.label);
    if (shelf?.size === 0) this.#shelves.delete(namespace);
    return true;
  }

  #unname(service: ServiceKey): void {
    const count = Number(this.#named.get(service)) - 1;
    if (count > 0) this.#named.set(service, count);
    else this.#named.delete(service);
  }
}

const byKey = (policies: readonly AuthorizationPolicy[]): readonly AuthorizationPolicy[] =>
  policies.toSorted((a, b) => (a.key < b.key ? -1 : 1));

/** Of the labels of a selector the one that the fewest others are found under. */
function rarest(shelf: Shelf, scope: PolicyScope): string {
  const load = (label: string): number => shelf.get(label)?.size ?? 0;
  return labelsOf({ scope }).toSorted((a, b) => load(a) - load(b))[0] ?? noLabel;
}
