/**
 * Kubernetes' NetworkPolicies work on what goes over the wire, and between pods of the mesh that is HBONE to port 15008:
 * one that lists the applications' ports cuts the mesh off, from everybody or from some. Those that select a pod add up,
 * so each pod is judged by all of its own. Whom a NetworkPolicy lets through on no port at all is kept out on purpose.
 */
import { hbonePort } from '../../base/ports.ts';
import type { Workload } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import { withDefault } from '../with-default.ts';
import type { Check } from './context.ts';
import { type Finding, finding, type LintCode, type LintedObject } from './finding.ts';
import type { NetworkPolicy, NetworkRule } from './input.ts';
import { NetworkPeers, selects } from './network-peers.ts';

type Direction = 'ingress' | 'egress';
type Protocol = 'TCP' | 'UDP';

/** What must pass, and what is wrong if it does not. */
interface Need {
  readonly direction: Direction;
  readonly port: number;
  readonly protocol: Protocol;
  readonly code: LintCode;
  readonly what: string;
}

const comesIn: Need = {
  direction: 'ingress',
  port: hbonePort,
  protocol: 'TCP',
  code: 'blocks-hbone',
  what: 'connections of the mesh come in',
};
const goesOut: Need = {
  direction: 'egress',
  port: hbonePort,
  protocol: 'TCP',
  code: 'blocks-hbone',
  what: 'connections of the mesh go out',
};
const asksForNames: Need = {
  direction: 'egress',
  port: 53,
  protocol: 'UDP',
  code: 'blocks-dns',
  what: 'the pods ask for names',
};

/** A rule, and the policy it is in. */
interface Placed {
  readonly policy: NetworkPolicy;
  readonly rule: NetworkRule;
}

/** What pods lose by one policy. */
interface Loss {
  readonly policy: NetworkPolicy;
  readonly need: Need;
  readonly pods: Set<Workload>;
  /** The other ends; undefined: all of them. */
  peers: Set<Workload> | undefined;
}

export const networkPolicies: Check = ({ input }) => {
  const { view, namespaceLabels } = input;
  const pods = [...view.workloads.values()].filter(({ protocol }) => protocol === 'hbone');
  const meshed = new NetworkPeers(pods, namespaceLabels);
  const dns = new NetworkPeers(dnsServers(view), namespaceLabels);
  const losses = new Losses();
  for (const group of groupsOf(pods, input.networkPolicies)) {
    connectionsOf(group, comesIn, meshed, losses);
    connectionsOf(group, goesOut, meshed, losses);
    namesOf(group, dns, losses);
  }
  return losses.all.map(lossFinding);
};

/** Pods that the same policies select. */
interface Group {
  readonly pods: readonly Workload[];
  readonly own: readonly NetworkPolicy[];
}

function groupsOf(pods: readonly Workload[], policies: readonly NetworkPolicy[]): readonly Group[] {
  const byNamespace = Map.groupBy(policies, ({ namespace }) => namespace);
  const groups = new Map<string, { readonly pods: Workload[]; readonly own: readonly NetworkPolicy[] }>();
  for (const pod of pods) {
    const own = byNamespace.get(pod.namespace)?.filter((policy) => selects(policy.pods, pod.labels)) ?? [];
    if (own.length === 0) continue;
    const key = [pod.namespace, ...own.map(({ name }) => name)].join(' ');
    withDefault(groups, key, () => ({ pods: [], own })).pods.push(pod);
  }
  return [...groups.values()];
}

/** undefined: the direction is not restricted, or nothing at all may pass, and who lets nothing pass means it. */
function rulesOf({ own }: Group, direction: Direction): readonly Placed[] | undefined {
  const rules = own.flatMap((policy) => (policy[direction] ?? []).map((rule) => ({ policy, rule })));
  return rules.length === 0 ? undefined : rules;
}

function connectionsOf(group: Group, need: Need, meshed: NetworkPeers, losses: Losses): void {
  const rules = rulesOf(group, need.direction);
  if (rules === undefined) return;
  const opening = rules.filter(({ rule }) => admits(rule, need));
  if (opening.length === 0) return cutOff(group, need, rules, meshed, losses);
  const others = rules.filter((placed) => !opening.includes(placed) && hasTcp(placed.rule));
  for (const { policy, rule } of others) {
    const cut = [...meshed.of(rule, policy.namespace, 'certain')].filter(
      (peer) =>
        !opening.some((placed) => meshed.of(placed.rule, placed.policy.namespace, 'possible').has(peer)),
    );
    // A pod needs no network to reach itself.
    const [only, ...more] = group.pods;
    const lost = more.length > 0 ? cut : cut.filter((peer) => peer !== only);
    if (lost.length > 0) losses.add(policy, need, group.pods, lost);
  }
}

/** Nobody may come by the port. Labels that no pod has now may be those of pods to come. */
function cutOff(
  { pods }: Group,
  need: Need,
  rules: readonly Placed[],
  meshed: NetworkPeers,
  losses: Losses,
): void {
  for (const { policy, rule } of rules) {
    const isConcerned = isAboutPods(rule) || meshed.of(rule, policy.namespace, 'certain').size > 0;
    if (isConcerned) losses.add(policy, need, pods, undefined);
  }
}

/** Where it is not known who answers, any destination may. */
function namesOf(group: Group, dns: NetworkPeers, losses: Losses): void {
  const rules = rulesOf(group, 'egress');
  if (rules === undefined) return;
  const opening = rules.filter(({ rule }) => admits(rule, asksForNames));
  const reaches = ({ policy, rule }: Placed): boolean =>
    dns.pods.length === 0 || dns.of(rule, policy.namespace, 'possible').size > 0 || !isAboutPods(rule);
  if (opening.some(reaches)) return;
  for (const policy of new Set(rules.map((placed) => placed.policy))) {
    losses.add(policy, asksForNames, group.pods, undefined);
  }
}

const isAboutPods = ({ peers }: NetworkRule): boolean =>
  peers === undefined || peers.some(({ type }) => type === 'pods');

function dnsServers(view: MeshView): readonly Workload[] {
  return view.config.clusterDns.flatMap((target) =>
    target.type === 'service'
      ? (view.services.get(target.service)?.endpoints ?? []).flatMap(
          ({ address }) => view.workloadByIp(address) ?? [],
        )
      : [],
  );
}

/** A port by name is one of the application's. */
const admits = ({ ports }: NetworkRule, { port: wanted, protocol }: Need): boolean =>
  ports === undefined ||
  ports.some(
    ({ protocol: own, port, endPort }) =>
      own === protocol &&
      (port === undefined ||
        (typeof port === 'number' && port <= wanted && wanted <= Math.max(port, endPort ?? 0))),
  );

const hasTcp = ({ ports }: NetworkRule): boolean =>
  ports === undefined || ports.some(({ protocol }) => protocol === 'TCP');

class Losses {
  readonly #byPolicy = new Map<NetworkPolicy, Map<Need, Loss>>();

  get all(): readonly Loss[] {
    return [...this.#byPolicy.values()].flatMap((byNeed) => [...byNeed.values()]);
  }

  add(
    policy: NetworkPolicy,
    need: Need,
    pods: readonly Workload[],
    peers: readonly Workload[] | undefined,
  ): void {
    const byNeed = withDefault(this.#byPolicy, policy, () => new Map<Need, Loss>());
    const loss = withDefault(byNeed, need, () => ({
      policy,
      need,
      pods: new Set<Workload>(),
      peers: new Set<Workload>(),
    }));
    pods.forEach((pod) => loss.pods.add(pod));
    if (peers === undefined) loss.peers = undefined;
    else peers.forEach((peer) => loss.peers?.add(peer));
  }
}

function lossFinding({ policy, need, pods, peers }: Loss): Finding {
  const { namespace, name } = policy;
  const object: LintedObject = { kind: 'NetworkPolicy', namespace, name };
  const { direction, port, protocol, code, what } = need;
  const own = [...pods].map((pod) => pod.name);
  const which = own.length === 1 ? `pod ${own[0]}` : `${own.length} pods (${own[0]}, …)`;
  const side = direction === 'ingress' ? 'from' : 'to';
  const whom = peers === undefined ? '' : `, ${side} ${peersText([...peers])}`;
  const message = `${protocol} port ${port}, by which ${what}, is not open for ${which} of the mesh${whom}`;
  const peersHint = peers === undefined ? '' : `, with the same ${side}`;
  const hint = `add to its ${direction} rules: ports: [{protocol: ${protocol}, port: ${port}}]${peersHint}`;
  return finding(code, object, `spec.${direction}`, message, hint);
}

const shownPeers = 3;

/** They may reach one another by other ports, so they are meant to. */
function peersText(peers: readonly Workload[]): string {
  const names = peers.map(({ namespace, name }) => `${namespace}/${name}`).toSorted();
  const shown = names.slice(0, shownPeers).join(', ');
  const rest = names.length > shownPeers ? `, and ${names.length - shownPeers} more` : '';
  return `${shown}${rest}, which it lets through by other ports only`;
}
