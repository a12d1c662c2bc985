/** NamespaceAccess objects that keep pods from what they need, unless they are meant to: names, their answers, the API server. */
import type { IpAddress } from '../../base/ip.ts';
import type { NamespaceAccess } from '../../model/access.ts';
import { serviceKey, type Workload } from '../../model/mesh.ts';
import { accessObject, refusedPods, type RefusedPods, scopedAccess } from './access.ts';
import type { LintContext } from './context.ts';
import { type Finding, finding } from './finding.ts';

const dnsPort = 53;
/** Where answers go: some port that nobody names in a rule for its own sake. */
const clientPort = 40_000;

export function egressLockout(context: LintContext): readonly Finding[] {
  const accesses = [...context.input.view.access.values()].filter(({ egress }) => egress !== undefined);
  return accesses.flatMap((access) => [
    ...dnsOutOfReach(context, access),
    ...answersRefused(context, access),
    ...apiOutOfReach(context, access),
  ]);
}

/** DNS is open under a default deny unless a rule closes it, or nobody knows where it is. */
function dnsOutOfReach(context: LintContext, access: NamespaceAccess): readonly Finding[] {
  const { view } = context.input;
  const servers = view.config.clusterDns.flatMap((target): readonly IpAddress[] => {
    if (target.type === 'service') return view.services.get(target.service)?.vips ?? [];
    return target.type === 'cidr' ? [target.prefix.base] : [];
  });
  const found = refusedPods(
    context,
    access,
    servers.flatMap((ip) => [
      { ip, port: dnsPort, protocol: 'udp' },
      { ip, port: dnsPort, protocol: 'tcp' },
    ]),
  );
  if (found === undefined) return [];
  const message = `${podsText(found)} cannot ask the cluster’s DNS: ${found.reason}`;
  const hint = 'allow UDP and TCP port 53 to it';
  return [finding('blocks-dns', accessObject(access), 'spec.egress', message, hint)];
}

/** An answer is a datagram like any other. */
function answersRefused(context: LintContext, access: NamespaceAccess): readonly Finding[] {
  const { view } = context.input;
  const servers = new Set(
    view.config.clusterDns.flatMap((target) =>
      target.type === 'service'
        ? (view.services.get(target.service)?.endpoints.map(({ address }) => address) ?? [])
        : [],
    ),
  );
  const isServer = ({ addresses }: Workload): boolean => addresses.some((ip) => servers.has(ip));
  if (!context.pods.pods(scopedAccess(access)).some(isServer)) return [];
  const client = [...view.workloads.values()].find((pod) => !pod.hostNetwork && !isServer(pod));
  const ip = client?.addresses[0];
  if (ip === undefined) return [];
  const found = refusedPods(context, access, [{ ip, port: clientPort, protocol: 'udp' }], isServer);
  if (found === undefined) return [];
  const message = `${podsText(found)} cannot answer who asks it for names, ${client?.namespace}/${client?.name} for one: ${found.reason}`;
  const hint = 'allow UDP to the addresses of the cluster’s pods';
  return [finding('locks-out-dns', accessObject(access), 'spec.egress', message, hint)];
}

const kubernetes = serviceKey('default', 'kubernetes');

/** Not every pod needs it; one that does says no more than that it times out. */
function apiOutOfReach(context: LintContext, access: NamespaceAccess): readonly Finding[] {
  const { vips = [], ports = [] } = context.input.view.services.get(kubernetes) ?? {};
  const found = refusedPods(
    context,
    access,
    vips.flatMap((ip) => ports.map(({ port }) => ({ ip, port, protocol: 'tcp' as const }))),
  );
  if (found === undefined) return [];
  const message = `${podsText(found)} cannot reach the API server: ${found.reason}`;
  const hint = 'if they need it: to: [{ service: { name: kubernetes, namespace: default } }]';
  return [finding('locks-out-api', accessObject(access), 'spec.egress', message, hint)];
}

const podsText = ({ count, first: { namespace, name } }: RefusedPods): string =>
  count === 1 ? `${namespace}/${name}` : `${count} pods (${namespace}/${name}, …)`;
