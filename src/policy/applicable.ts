/**
 * Which policies apply to a workload: the mesh's, its namespace's, and those that select it by labels or by a Service
 * it serves. Sorted once for a version of the policies, so that a hundred thousand workloads can be asked about.
 */
import type { IpAddress } from '../base/ip.ts';
import type { Service, ServiceKey, Workload } from '../model/mesh.ts';
import type { PolicyScope } from '../model/policy.ts';
import type { MeshView } from '../model/view.ts';
import { withDefault } from './with-default.ts';

/** Anything that applies to workloads by scope. */
export interface Scoped {
  readonly key: string;
  readonly namespace: string;
  readonly scope: PolicyScope;
}

/** By key, within each list. */
export interface Applicable<T> {
  readonly mesh: readonly T[];
  readonly namespace: readonly T[];
  /** By labels or by Service. */
  readonly selected: readonly T[];
}

export type ApplicableLookup<T> = (workload: Workload) => Applicable<T>;

interface InNamespace<T> {
  readonly wide: readonly T[];
  readonly selecting: readonly T[];
}

/** What is looked at besides the policies. Of the view nothing is kept. */
type Surroundings = Pick<MeshView, 'config' | 'services'>;

const none: InNamespace<never> = { wide: [], selecting: [] };

export function applicableLookup<T extends Scoped>(
  policies: Iterable<T>,
  { config: { rootNamespace }, services }: Surroundings,
): ApplicableLookup<T> {
  const all = [...policies].toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const mesh = all.filter(({ scope }) => scope.type === 'mesh');
  const byNamespace = new Map([...Map.groupBy(all, ({ namespace }) => namespace)].map(sortedByScope));
  const everywhere = selectorIndex((byNamespace.get(rootNamespace) ?? none).selecting);
  const own = new Map<string, SelectorIndex<T>>();
  return (workload) => {
    const { namespace } = workload;
    const { wide, selecting } = byNamespace.get(namespace) ?? none;
    const ofNamespace =
      namespace === rootNamespace
        ? []
        : withDefault(own, namespace, () => selectorIndex(selecting))(workload);
    const candidates = [...everywhere(workload), ...ofNamespace];
    const selected = candidates.filter(({ scope }) => selects(scope, workload, services));
    return { mesh, namespace: wide, selected };
  };
}

const sortedByScope = <T extends Scoped>([namespace, policies]: [string, T[]]): [string, InNamespace<T>] => [
  namespace,
  {
    wide: policies.filter(({ scope }) => scope.type === 'namespace'),
    selecting: policies.filter(({ scope }) => scope.type === 'selector' || scope.type === 'services'),
  },
];

const addresses = new WeakMap<Service, ReadonlySet<IpAddress>>();

/** Found out once for as long as the Service stays the same. */
function addressesBehind(service: Service): ReadonlySet<IpAddress> {
  const known = addresses.get(service);
  if (known !== undefined) return known;
  const found = new Set(service.endpoints.map(({ address }) => address));
  addresses.set(service, found);
  return found;
}

/** The Services whose endpoints a policy concerns. */
export const servicesNamed = ({ scope }: Pick<Scoped, 'scope'>): readonly ServiceKey[] =>
  scope.type === 'services' ? scope.services : [];

/** Of a scope that selects: by labels or by Services. */
export function selects(
  scope: PolicyScope,
  { labels, addresses: own }: Workload,
  services: Surroundings['services'],
): boolean {
  if (scope.type === 'selector') {
    return Object.entries(scope.labels).every(([name, value]) => ownLabel(labels, name) === value);
  }
  const named = servicesNamed({ scope });
  return named.some((key) => {
    const service = services.get(key);
    return service !== undefined && own.some((ip) => addressesBehind(service).has(ip));
  });
}

const ownLabel = (labels: Workload['labels'], name: string): string | undefined =>
  Object.hasOwn(labels, name) ? labels[name] : undefined;

/** Those that may select a workload, in order. */
type SelectorIndex<T> = (workload: Workload) => readonly T[];

/** Files each selector under the one of its labels that the fewest others have. */
function selectorIndex<T extends Scoped>(policies: readonly T[]): SelectorIndex<T> {
  const shared = new Map<string, number>();
  for (const label of policies.flatMap(labelsOf)) shared.set(label, (shared.get(label) ?? 0) + 1);
  const rarity = (label: string): number => Number(shared.get(label));
  const byLabel = Map.groupBy(
    policies,
    (policy) => labelsOf(policy).toSorted((a, b) => rarity(a) - rarity(b))[0],
  );
  return ({ labels }) =>
    [undefined, ...Object.entries(labels).map(labelText)]
      .flatMap((label) => byLabel.get(label) ?? [])
      .toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

export const labelText = ([name, value]: readonly [string, string]): string => `${name}=${value}`;

export const labelsOf = ({ scope }: Pick<Scoped, 'scope'>): readonly string[] =>
  scope.type === 'selector' ? Object.entries(scope.labels).map(labelText) : [];
