/** A refused connection as an Event: on the pod that this node answers for, about whom it was refused to. Pure. */
import { formatSocketAddress } from '../../base/ip.ts';
import type { ConnectionPeer, ConnectionRecord } from '../../model/connection.ts';
import type { Workload } from '../../model/mesh.ts';
import type { EventText } from './cluster-event.ts';

/**
 * Undefined for what was not refused by policy, or concerns no pod. Of a source those count as one that are of one
 * identity, or of one owner: a deployment with a hundred pods is one piece of news, and so is the whole outside.
 */
export function denialEvent({
  direction,
  source,
  destination,
  originalDestination,
  service,
  verdict,
  transport = 'tcp',
}: Omit<ConnectionRecord, 'id'>): EventText | undefined {
  const isInbound = direction === 'inbound';
  const own = (isInbound ? destination : source).workload;
  if (verdict === undefined || verdict.allowed || own === undefined) return undefined;
  const related = (isInbound ? source : destination).workload;
  const target = isInbound
    ? formatSocketAddress(destination.address)
    : formatSocketAddress(originalDestination);
  const to = [service, nameOf(destination.workload), target].find((name) => name !== undefined) ?? target;
  const by = verdict.policy === undefined ? 'no policy allows it' : `refused by ${verdict.policy}`;
  const port = `${transport} port ${(isInbound ? destination.address : originalDestination).port}`;
  const who = nameOf(source.workload) ?? String(source.address.ip);
  const peer = isInbound
    ? kindOf(source)
    : `${transport} ${service ?? nameOf(related) ?? originalDestination.ip}`;
  return {
    reason: 'ConnectionDenied',
    action: 'Connect',
    note: `${who}${identityOf(source)} → ${to}, ${port}: ${by}: ${verdict.reason}. All of them: mesh-ebpf connections --denied`,
    regarding: own,
    related,
    key: `${own.uid} ${direction} ${peer} ${verdict.policy ?? ''}`,
  };
}

const nameOf = (workload: Workload | undefined): string | undefined =>
  workload === undefined ? undefined : `${workload.namespace}/${workload.name}`;

const identityOf = ({ identity }: ConnectionPeer): string => (identity === undefined ? '' : ` (${identity})`);

const kindOf = ({ identity, workload }: ConnectionPeer): string =>
  identity ??
  (workload === undefined
    ? 'outside'
    : `${workload.namespace}/${workload.owner.kind}/${workload.owner.name}`);
