/** Whom the rules of NetworkPolicies are for: pods by their labels and their namespaces', or by address. */
import { type IpAddress, prefixContains } from '../../base/ip.ts';
import type { Workload } from '../../model/mesh.ts';
import type { LabelRequirement, LabelSelector, LintInput, NetworkPeer, NetworkRule } from './input.ts';

/** Every namespace has it, with its name. */
const nameLabel = 'kubernetes.io/metadata.name';

/** `certain`: those that it is known to be for. `possible`: those, too, of which the namespace's labels are not known. */
export type Reading = 'certain' | 'possible';

/** Those of a list of pods that a rule is for; each rule is asked about once. */
export class NetworkPeers {
  readonly pods: readonly Workload[];
  readonly #byNamespace: ReadonlyMap<string, readonly Workload[]>;
  readonly #namespaceLabels: LintInput['namespaceLabels'];
  readonly #known = {
    certain: new Map<NetworkRule, ReadonlySet<Workload>>(),
    possible: new Map<NetworkRule, ReadonlySet<Workload>>(),
  };

  constructor(pods: readonly Workload[], namespaceLabels: LintInput['namespaceLabels']) {
    this.pods = pods;
    this.#byNamespace = Map.groupBy(pods, ({ namespace }) => namespace);
    this.#namespaceLabels = namespaceLabels;
  }

  /** @param namespace of the policy that the rule is in */
  of(rule: NetworkRule, namespace: string, reading: Reading): ReadonlySet<Workload> {
    const known = this.#known[reading].get(rule);
    if (known !== undefined) return known;
    const found = new Set(
      rule.peers === undefined
        ? this.pods
        : rule.peers.flatMap((peer) => this.#ofPeer(peer, namespace, reading)),
    );
    this.#known[reading].set(rule, found);
    return found;
  }

  #ofPeer(peer: NetworkPeer, namespace: string, reading: Reading): readonly Workload[] {
    if (peer.type === 'block') {
      return this.pods.filter(({ addresses }) => addresses.some((ip) => isInBlock(peer, ip)));
    }
    const { namespaces, pods } = peer;
    const places =
      namespaces === undefined
        ? [namespace]
        : [...this.#byNamespace.keys()].filter((name) => this.#fitsNamespace(namespaces, name, reading));
    return places.flatMap((name) =>
      (this.#byNamespace.get(name) ?? []).filter(({ labels }) => selects(pods, labels)),
    );
  }

  #fitsNamespace(selector: LabelSelector, name: string, reading: Reading): boolean {
    const labels = { ...this.#namespaceLabels.get(name), [nameLabel]: name };
    if (this.#namespaceLabels.has(name)) return selects(selector, labels);
    const [known, unknown] = [
      selector.filter(({ key }) => key === nameLabel),
      selector.filter(({ key }) => key !== nameLabel),
    ];
    return selects(known, labels) && (unknown.length === 0 || reading === 'possible');
  }
}

export const isInBlock = (
  { prefix, except }: Extract<NetworkPeer, { readonly type: 'block' }>,
  ip: IpAddress,
): boolean => prefixContains(prefix, ip) && !except.some((hole) => prefixContains(hole, ip));

export const selects = (selector: LabelSelector, labels: Workload['labels']): boolean =>
  selector.every((requirement) => fits(requirement, labels));

function fits({ key, operator, values }: LabelRequirement, labels: Workload['labels']): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}
