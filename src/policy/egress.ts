/**
 * Whether a pod may send to an address outside the mesh, or a datagram to any, and by which object: the reference that
 * the kernel's map is computed to agree with (`src/datapath/egress`), asked for what ztunnel dials in plaintext, and to
 * say afterwards why the kernel refused. Pure.
 */
import type { IpAddress } from '../base/ip.ts';
import { formatSocketAddress, type Port } from '../base/ip.ts';
import type { PortRange, Transport } from '../model/access.ts';
import type { Verdict } from '../model/connection.ts';
import type { Workload } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';
import { targetCovers } from './egress-targets.ts';
import { type EgressRules, egressRules, type PlacedRule } from './egress-rules.ts';
import { accessLookup } from './namespace-access.ts';

export interface EgressRequest {
  /** As the application dialled it: a Service's address, not that of the endpoint behind it. */
  readonly ip: IpAddress;
  readonly port: number;
  readonly protocol: Transport;
}

/** Undefined where no object has a say. */
export function egressVerdict(view: MeshView, source: Workload, request: EgressRequest): Verdict | undefined {
  const rules = egressRules(accessLookup(view)(source), view.config);
  return rules === undefined ? undefined : judgeEgress(rules, view, request);
}

export function judgeEgress(rules: EgressRules, view: MeshView, request: EgressRequest): Verdict {
  const matching = rules.rules.filter((rule) => matches(rule, view, request));
  const decisive = matching.find(({ action }) => action === 'deny') ?? matching[0];
  const what = `${formatSocketAddress({ ip: request.ip, port: request.port as Port })}/${request.protocol}`;
  if (decisive !== undefined) {
    const { action, policy, field } = decisive;
    const reason = `${field} ${action === 'allow' ? 'allows' : 'denies'} ${what}`;
    return { allowed: action === 'allow', policy, reason };
  }
  const { deniedBy } = rules;
  return deniedBy === undefined
    ? { allowed: true, policy: undefined, reason: `no rule denies ${what}` }
    : {
        allowed: false,
        policy: deniedBy,
        reason: `no rule allows ${what}, and spec.egress.default is Deny`,
      };
}

const matches = (rule: PlacedRule, view: MeshView, request: EgressRequest): boolean =>
  (rule.ports === undefined || rule.ports.some((range) => inRange(range, request))) &&
  (rule.to === undefined || rule.to.some((target) => targetCovers(view, target, request.ip)));

const inRange = ({ protocol, first, last }: PortRange, request: EgressRequest): boolean =>
  protocol === request.protocol && first <= request.port && request.port <= last;
