/** What the node has seen of who talks to whom, for `policy suggest`; and how other policies would judge it, for `policy diff`. */
import { MeshError } from '../../base/errors.ts';
import type { IpAddress, Port } from '../../base/ip.ts';
import { parseManifest } from '../../kube/parse-manifests.ts';
import { formatProblem } from '../../kube/problem.ts';
import { Translator } from '../../kube/translate/translator.ts';
import type { MeshChange, Workload } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import {
  type ChangedVerdict,
  type PolicyState,
  rehearse,
  rehearseEgress,
  type SeenConnection,
  withPolicies,
} from '../../policy/rehearse.ts';
import { ownerKey, type Selection, selectionsIn } from '../../policy/suggest/selectors.ts';
import type {
  ChangedVerdictItem,
  PairItem,
  RehearsalBody,
  RehearsalQuery,
} from '../../telemetry/admin-api.ts';
import type { ConnectionRegistry } from '../../telemetry/connection-registry.ts';
import { egressItems, egressSeen, isEgressChanged } from './seen-egress.ts';
import { decided, iso } from './seen-items.ts';
import { type Pair, type PairTable, pairKeyOf, recordPairKey } from '../../telemetry/flight/pairs.ts';

export function pairItems(
  view: MeshView,
  pairs: readonly Pair[],
  namespace: string | undefined,
): readonly PairItem[] {
  const selections = new Map<string, ReadonlyMap<string, Selection>>();
  const selectionOf = (pair: Pair): Selection | undefined => {
    const known = selections.get(pair.namespace) ?? selectionsIn(view, pair.namespace);
    selections.set(pair.namespace, known);
    return known.get(ownerKey(pair.owner));
  };
  return pairs
    .filter((pair) => namespace === undefined || pair.namespace === namespace)
    .map((pair) => pairItem(pair, selectionOf(pair)));
}

const pairItem = (pair: Pair, selection: Selection | undefined): PairItem => ({
  allowed: pair.kind !== 'denied',
  identity: pair.identity ?? null,
  sourceIp: pair.sourceIp,
  sourceName: pair.sourceName ?? null,
  namespace: pair.namespace,
  owner: ownerKey(pair.owner),
  labels: selection?.labels ?? null,
  alsoSelected: selection?.others ?? [],
  port: pair.port,
  policy: pair.policy ?? null,
  count: pair.count,
  firstSeen: iso(pair.firstSeen),
  lastSeen: iso(pair.lastSeen),
});

/** @throws MeshError INVALID_MANIFEST for objects that are not in order: what they would do cannot be said */
export function rehearsalBody(
  view: MeshView,
  seen: { readonly registry: ConnectionRegistry; readonly pairs: Pick<PairTable, 'all'> },
  query: RehearsalQuery,
): RehearsalBody {
  const after = withPolicies(view, policiesOf(view, query));
  const { connections, unjudged } = seenConnections(view, seen);
  const changed = rehearse(view, after, connections);
  const groups = Map.groupBy(changed, groupKey);
  const egress = seen.registry.recent().records.flatMap(({ record }) => egressSeen(view, record) ?? []);
  return {
    items: [
      ...[...groups.values()].map((changes) => changedItem(view, changes)),
      ...egressItems(rehearseEgress(view, after, egress)),
    ],
    judged: connections.reduce((sum, { count }) => sum + count, egress.length),
    unjudged,
    egress: { judged: egress.length, isChanged: isEgressChanged(view.access, after.access) },
  };
}

function policiesOf(view: MeshView, { objects, prune, namespace }: RehearsalQuery): PolicyState {
  const parsed = parseManifest({ path: 'the policies', text: objects }, { strict: true });
  const translator = new Translator(view.config);
  const change = translator.apply({ set: parsed.objects, deleted: [] });
  const errors = [...parsed.errors, ...translator.problems].filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new MeshError('INVALID_MANIFEST', errors.map(formatProblem).join('\n'));
  const isKept = (object: { readonly namespace: string }): boolean =>
    !prune || (namespace !== undefined && object.namespace !== namespace);
  return {
    policies: overlaid(view.policies, change.policies, isKept),
    peerAuthentications: overlaid(view.peerAuthentications, change.peerAuthentications, isKept),
    access: overlaid(view.access, change.access ?? none, isKept),
  };
}

const none: NonNullable<MeshChange['access']> = new Map();

function overlaid<K, V>(
  current: ReadonlyMap<K, V>,
  given: ReadonlyMap<K, V | undefined>,
  isKept: (value: V) => boolean,
): ReadonlyMap<K, V> {
  const all = new Map([...current].filter(([, value]) => isKept(value)));
  for (const [key, value] of given) if (value !== undefined) all.set(key, value);
  return all;
}

interface Seen {
  readonly connections: readonly SeenConnection[];
  readonly unjudged: number;
}

/** Single connections as far as they are remembered; what else is counted, by the last of them. */
function seenConnections(
  view: MeshView,
  { registry, pairs }: { readonly registry: ConnectionRegistry; readonly pairs: Pick<PairTable, 'all'> },
): Seen {
  const remaining = new Map(pairs.all().map((pair) => [pairKeyOf(pair), { pair, count: pair.count }]));
  const podFor = podFinder(view);
  const connections: SeenConnection[] = [];
  let unjudged = 0;
  const take = (pod: Workload | undefined, rest: Omit<SeenConnection, 'destination'>): void => {
    if (pod === undefined) unjudged += rest.count;
    else if (rest.count > 0) connections.push({ ...rest, destination: pod });
  };
  for (const { record } of registry.recent().records) {
    const key = recordPairKey(record);
    const { workload } = record.destination;
    if (key === undefined || workload === undefined) continue;
    const counted = remaining.get(key);
    if (counted !== undefined) counted.count -= 1;
    take(podFor(workload), {
      identity: record.source.identity,
      source: record.source.address,
      target: record.destination.address,
      count: 1,
      lastSeen: record.openedAt + record.durationMs,
    });
  }
  for (const { pair, count } of remaining.values()) {
    take(podFor(pair), {
      identity: pair.identity,
      source: { ip: pair.sourceIp, port: anyPort },
      target: { ip: pair.destinationIp, port: pair.port },
      count: Math.max(0, count),
      lastSeen: pair.lastSeen,
    });
  }
  return { connections, unjudged };
}

/** No policy looks at the source's. */
const anyPort = 0 as Port;

/** The pod itself, or while it is gone another one of its owner. */
function podFinder(
  view: MeshView,
): (of: Pick<Workload, 'uid' | 'namespace' | 'owner'>) => Workload | undefined {
  let byOwner: Map<string, Workload> | undefined;
  return (of) => {
    const known = view.workloads.get(of.uid);
    if (known !== undefined) return known;
    byOwner ??= new Map([...view.workloads.values()].map((pod) => [placedOwner(pod), pod]));
    return byOwner.get(placedOwner(of));
  };
}

const placedOwner = ({ namespace, owner }: Pick<Workload, 'namespace' | 'owner'>): string =>
  `${namespace} ${ownerKey(owner)}`;

function groupKey({ connection, before, after }: ChangedVerdict): string {
  const { identity, source, destination, target } = connection;
  const who = identity ?? source.ip;
  const verdicts = [before, after].map(({ allowed, policy }) => `${allowed} ${policy ?? ''}`);
  return [who, destination.namespace, ownerKey(destination.owner), target.port, ...verdicts].join('\n');
}

function changedItem(view: MeshView, changes: readonly ChangedVerdict[]): ChangedVerdictItem {
  const last = changes.reduce((a, b) => (b.connection.lastSeen > a.connection.lastSeen ? b : a));
  const { identity, source, destination, target } = last.connection;
  return {
    direction: 'inbound',
    identity: identity ?? null,
    sourceIp: source.ip,
    sourceName: sourceNameOf(view, source.ip),
    namespace: destination.namespace,
    owner: ownerKey(destination.owner),
    port: target.port,
    destination: null,
    count: changes.reduce((sum, { connection }) => sum + connection.count, 0),
    lastSeen: iso(last.connection.lastSeen),
    before: decided(last.before),
    after: decided(last.after),
  };
}

function sourceNameOf(view: MeshView, ip: IpAddress): string | null {
  const pod = view.workloadByIp(ip);
  return pod === undefined ? null : `${pod.namespace}/${pod.owner.name}`;
}
