/** Refusals that the kernel tells of → records: who it was, and by the reference evaluator, which object refused and why. */
import type { Clock } from '../../base/clock.ts';
import { formatSocketAddress, isIpv4, type Port, type SocketAddress } from '../../base/ip.ts';
import type { Datapath } from '../../datapath/datapath.ts';
import type { Denial } from '../../datapath/egress/denials.ts';
import type { ConnectionId, ConnectionRecord, Verdict } from '../../model/connection.ts';
import type { MeshReader, MeshView } from '../../model/view.ts';
import { egressVerdict } from '../../policy/egress.ts';
import type { DenialAccount } from '../../telemetry/denial-account.ts';

/** Returns how to stop. */
export function followDenials(
  datapath: Pick<Datapath, 'followDenials'>,
  mesh: MeshReader,
  account: DenialAccount,
  clock: Pick<Clock, 'now'>,
  firstSerial = 0,
): () => void {
  let next = firstSerial;
  return datapath.followDenials((denial) => {
    const id = `d-${(next++).toString(36)}` as ConnectionId;
    account.refused(denialRecord(id, denial, mesh.view, clock.now()));
    if (denial.untold > 0) account.untold(denial.untold);
  });
}

/** @param now milliseconds since the epoch */
export function denialRecord(
  id: ConnectionId,
  { uid, destination, protocol, ageMs }: Denial,
  view: MeshView,
  now: number,
): ConnectionRecord {
  const workload = view.workloads.get(uid);
  const judged =
    workload === undefined ? undefined : egressVerdict(view, workload, { ...destination, protocol });
  const verdict = judged?.allowed === false ? judged : noLonger(destination);
  const by = verdict.policy === undefined ? 'egress' : `policy ${verdict.policy}`;
  return {
    id,
    direction: 'outbound',
    path: 'direct',
    source: {
      address: { ip: ownAddress(workload?.addresses ?? [], destination), port: noPort },
      workload,
      identity: undefined,
    },
    destination: { address: destination, workload: view.workloadByIp(destination.ip), identity: undefined },
    originalDestination: destination,
    hboneAddress: undefined,
    service: view.serviceByVip(destination.ip)?.key,
    verdict,
    traceId: undefined,
    transport: protocol,
    openedAt: now - ageMs,
    bytesSent: 0,
    bytesReceived: 0,
    durationMs: 0,
    error: {
      code: 'POLICY_DENIED',
      hop: 'policy',
      message: `${by}: ${verdict.reason}`,
      hint: undefined,
    },
  };
}

/** The objects of now need not be those that refused. */
const noLonger = (destination: SocketAddress): Verdict => ({
  allowed: false,
  policy: undefined,
  reason: `${formatSocketAddress(destination)} was refused by rules that are not in force any more, or did not fit into the egress map`,
});

/** Refused before the socket had a port of its own. */
const noPort = 0 as Port;

const ownAddress = (addresses: readonly SocketAddress['ip'][], { ip }: SocketAddress): SocketAddress['ip'] =>
  addresses.find((own) => isIpv4(own) === isIpv4(ip)) ??
  addresses[0] ??
  ((isIpv4(ip) ? '0.0.0.0' : '::') as SocketAddress['ip']);
