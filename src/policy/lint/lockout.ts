/**
 * Policies that keep out what everything needs: DNS, and node programs from the certificate authority. Asked of the
 * evaluator itself, with the connections that these make. Probes of the kubelet need no check: they come from the
 * node's own network namespace and reach the application whatever policies say.
 */
import { parseIp, type Port, parsePort } from '../../base/ip.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { ServiceKey, Workload } from '../../model/mesh.ts';
import type { PolicyKey } from '../../model/policy.ts';
import { createAuthorizer } from '../authorize.ts';
import { policyLookup } from '../policy-lookup.ts';
import type { Check, LintContext } from './context.ts';
import { egressLockout } from './egress-lockout.ts';
import { type Finding, finding, type LintCode, type LintedObject } from './finding.ts';

const dnsPort = 53;

export const lockout: Check = (context) => [
  ...atDns(context),
  ...atController(context),
  ...egressLockout(context),
];

function atDns(context: LintContext): readonly Finding[] {
  const { view } = context.input;
  const client = [...view.workloads.values()].find(({ protocol }) => protocol === 'hbone');
  const names = view.config.clusterDns.flatMap((target) =>
    target.type === 'service' ? [target.service] : [],
  );
  return names.flatMap((name) =>
    refused(context, name, client?.identity, (pod) => ({
      code: 'locks-out-dns',
      message: `DNS over TCP is refused at ${pod.namespace}/${pod.name}, which answers it for the cluster`,
      hint: 'allow port 53 there for everybody',
      ports: [parsePort(dnsPort)],
    })),
  );
}

/** Node programs speak from their node's network, and TLS of their own. */
function atController(context: LintContext): readonly Finding[] {
  const { controller, view } = context.input;
  if (controller === undefined) return [];
  const served = view.services.get(controller)?.endpoints.flatMap(({ ports }) => [...ports.values()]) ?? [];
  return refused(context, controller, undefined, (pod) => ({
    code: 'locks-out-mesh',
    message: `node programs are refused at the certificate authority, ${pod.namespace}/${pod.name}`,
    hint: 'take its namespace out of the mesh, or allow its port without an identity',
    ports: [...new Set(served)],
  }));
}

interface Refused {
  readonly code: LintCode;
  readonly message: string;
  readonly hint: string;
  readonly ports: readonly Port[];
}

/** A stranger's address: what is let in because of an address must be let in from all. */
const somewhere = parseIp('192.0.2.1');

function refused(
  { input: { view } }: LintContext,
  service: ServiceKey,
  identity: SpiffeId | undefined,
  describe: (pod: Workload) => Refused,
): readonly Finding[] {
  const authorizer = createAuthorizer();
  const policies = policyLookup(view);
  const byPolicy = new Map<PolicyKey, Finding>();
  for (const { address } of view.services.get(service)?.endpoints ?? []) {
    const pod = view.workloadByIp(address);
    if (pod?.protocol !== 'hbone') continue;
    const { code, message, hint, ports } = describe(pod);
    for (const port of ports) {
      const verdict = authorizer(view, {
        identity,
        source: stranger,
        destination: pod,
        target: { ip: address, port },
      });
      if (verdict.allowed) continue;
      const key = verdict.policy ?? policies(pod).find(({ action }) => action === 'allow')?.key;
      if (key === undefined || byPolicy.has(key)) continue;
      byPolicy.set(key, finding(code, objectOfKey(key), '', `${message}: ${verdict.reason}`, hint));
    }
  }
  return [...byPolicy.values()];
}

const stranger = { ip: somewhere, port: parsePort(40_000) };

/** The other half of `policyKey`, `peerAuthenticationKey` and `accessKey`. */
function objectOfKey(key: PolicyKey): LintedObject {
  const [name = '', namespace = '', prefix] = key.split('/').toReversed();
  switch (prefix) {
    case 'peerauthentication':
      return { kind: 'PeerAuthentication', namespace, name };
    case 'namespaceaccess':
      return { kind: 'NamespaceAccess', namespace, name };
    default:
      return { kind: 'AuthorizationPolicy', namespace, name };
  }
}
