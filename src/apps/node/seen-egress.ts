/**
 * What pods of this node sent out of the mesh, as far as anybody has noticed: what NamespaceAccess objects refused, and what
 * ztunnel itself carried in plaintext. What the kernel lets straight out is not seen by anyone.
 */
import { isDeepStrictEqual } from 'node:util';
import { formatSocketAddress, type Port } from '../../base/ip.ts';
import type { NamespaceAccess } from '../../model/access.ts';
import type { ConnectionRecord } from '../../model/connection.ts';
import type { MeshView } from '../../model/view.ts';
import type { ChangedEgress, SeenEgress } from '../../policy/rehearse.ts';
import { ownerKey } from '../../policy/suggest/selectors.ts';
import type { ChangedVerdictItem } from '../../telemetry/admin-api.ts';
import { decided, iso } from './seen-items.ts';

/** Undefined of a record that is not about egress, or whose pod is gone. */
export function egressSeen(view: MeshView, record: ConnectionRecord): SeenEgress | undefined {
  const { direction, path, originalDestination, transport = 'tcp', openedAt, durationMs } = record;
  const uid = record.source.workload?.uid;
  const source = uid === undefined ? undefined : view.workloads.get(uid);
  if (direction !== 'outbound' || path !== 'direct' || source === undefined) return undefined;
  if (record.transport === undefined && !isPlaintext(view, record)) return undefined;
  return {
    source,
    request: { ...originalDestination, protocol: transport },
    lastSeen: openedAt + durationMs,
  };
}

/** Of what ztunnel had to do with. A Service with endpoints in the mesh is reached at these if it may not be left. */
function isPlaintext(view: MeshView, { error, originalDestination }: ConnectionRecord): boolean {
  if (error !== undefined && unrouted.has(error.hop)) return false;
  const service = view.serviceByVip(originalDestination.ip);
  return service?.endpoints.some(({ address }) => view.workloadByIp(address)?.protocol === 'hbone') !== true;
}

/** It ended before anybody knew where it was to go. */
const unrouted: ReadonlySet<NonNullable<ConnectionRecord['error']>['hop']> = new Set(['capture', 'resolve']);

/** Whether objects say something else of egress. */
export function isEgressChanged(before: MeshView['access'], after: MeshView['access']): boolean {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return [...keys].some((key) => !isDeepStrictEqual(said(before.get(key)), said(after.get(key))));
}

const said = (access: NamespaceAccess | undefined): object | undefined =>
  access?.egress === undefined ? undefined : { labels: access.labels, egress: access.egress };

/** An item for each pair of pods of one owner and destination. */
export const egressItems = (changed: readonly ChangedEgress[]): readonly ChangedVerdictItem[] =>
  [...Map.groupBy(changed, groupKey).values()].map(egressItem);

function groupKey({ egress: { source, request }, before, after }: ChangedEgress): string {
  const { ip, port, protocol } = request;
  const verdicts = [before, after].map(({ allowed, policy }) => `${allowed} ${policy ?? ''}`);
  return [source.namespace, ownerKey(source.owner), ip, port, protocol, ...verdicts].join('\n');
}

function egressItem(changes: readonly ChangedEgress[]): ChangedVerdictItem {
  const last = changes.reduce((a, b) => (b.egress.lastSeen > a.egress.lastSeen ? b : a));
  const { source, request, lastSeen } = last.egress;
  const { ip, port, protocol } = request;
  return {
    direction: 'egress',
    identity: source.identity,
    sourceIp: source.addresses[0] ?? '',
    sourceName: `${source.namespace}/${source.owner.name}`,
    namespace: source.namespace,
    owner: ownerKey(source.owner),
    port,
    destination: `${formatSocketAddress({ ip, port: port as Port })}/${protocol}`,
    count: changes.length,
    lastSeen: iso(lastSeen),
    before: decided(last.before),
    after: decided(last.after),
  };
}
