/** Whether one egress rule is about everything that another one is about. What is said holds; not everything that holds is said. */
import { type IpPrefix, isIpv4, prefixContains } from '../../base/ip.ts';
import type { EgressRule, EgressTarget, NamespaceAccess, PortRange } from '../../model/access.ts';

/** Targets compared with targets, at most. */
const maxComparisons = 4096;

export const egressCovers = (outer: EgressRule, inner: EgressRule): boolean =>
  portsCover(outer.ports ?? everyPort, inner.ports ?? everyPort) && targetsCover(outer.to, inner.to);

/** Whether every pod that `inner` is for is one that `outer` is for. */
export const podsCover = (outer: NamespaceAccess, inner: NamespaceAccess): boolean =>
  outer.namespace === inner.namespace &&
  Object.entries(outer.labels).every(([name, value]) => inner.labels[name] === value);

const everyPort: readonly PortRange[] = [
  { protocol: 'tcp', first: 0, last: 65_535 },
  { protocol: 'udp', first: 0, last: 65_535 },
];

const portsCover = (outer: readonly PortRange[], inner: readonly PortRange[]): boolean =>
  inner.every(({ protocol, first, last }) =>
    outer.some((range) => range.protocol === protocol && range.first <= first && last <= range.last),
  );

function targetsCover(outer: EgressRule['to'], inner: EgressRule['to']): boolean {
  if (outer === undefined) return true;
  if (inner === undefined || outer.length * inner.length > maxComparisons) return false;
  return inner.every((wanted) => outer.some((target) => targetCoversTarget(target, wanted)));
}

function targetCoversTarget(outer: EgressTarget, inner: EgressTarget): boolean {
  if (outer.type === 'cidr') {
    if (inner.type !== 'cidr' || !isWithin(inner.prefix, outer.prefix)) return false;
    // A hole in the one is no matter where the other has no part of it.
    return outer.except.every(
      (hole) =>
        !(isWithin(hole, inner.prefix) || isWithin(inner.prefix, hole)) ||
        inner.except.some((other) => isWithin(hole, other)),
    );
  }
  if (outer.type === 'service') return inner.type === 'service' && inner.service === outer.service;
  return inner.type === 'namespace' && inner.namespace === outer.namespace;
}

export const isWithin = (inner: IpPrefix, outer: IpPrefix): boolean =>
  isIpv4(inner.base) === isIpv4(outer.base) &&
  outer.length <= inner.length &&
  prefixContains(outer, inner.base);
