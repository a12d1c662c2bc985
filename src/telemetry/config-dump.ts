/** The mesh model as Istio's `config_dump`: pure translation, for `istioctl ztunnel-config` and bug reports. */
import { formatPrefix, formatSocketAddress, type IpAddress } from '../base/ip.ts';
import type { ConnectionSummary } from '../model/connection.ts';
import { identityParts } from '../model/identity.ts';
import type { Service, Workload, WorkloadUid } from '../model/mesh.ts';
import type { AuthorizationPolicy, PolicyMatch, PolicyRule } from '../model/policy.ts';
import type { MeshView } from '../model/view.ts';
import { type PolicyLookup, policyLookup } from '../policy/policy-lookup.ts';
import type { CertificateItem, CertificateState } from './admin-api.ts';
import type {
  ConfigDump,
  DumpAccountMatch,
  DumpCertificate,
  DumpConnection,
  DumpEndpoint,
  DumpMatch,
  DumpPolicy,
  DumpService,
  DumpStringMatch,
  DumpWorkload,
  DumpWorkloadState,
} from './config-dump-types.ts';
import { canonicalName, canonicalRevision } from './traffic-labels.ts';

export interface ConfigDumpInput {
  readonly view: MeshView;
  readonly version: string;
  readonly certificates: readonly CertificateItem[];
  /** Workloads whose connections this node carries. */
  readonly enrolled: Iterable<WorkloadUid>;
  readonly live: readonly ConnectionSummary[];
}

export function configDump({ view, version, certificates, enrolled, live }: ConfigDumpInput): ConfigDump {
  const states = [...enrolled].flatMap((uid) => {
    const workload = view.workloads.get(uid);
    return workload === undefined ? [] : [[uid, workloadState(workload, live)] as const];
  });
  const policiesFor = policyLookup(view);
  return {
    workloads: [...view.workloads.values()].map((workload) => dumpWorkload(workload, view, policiesFor)),
    services: [...view.services.values()].map((service) => dumpService(service, view)),
    // Istio's ztunnel knows no policies that only tell.
    policies: [...view.policies.values()].filter(({ action }) => action !== 'audit').map(dumpPolicy),
    certificates: certificates.map(dumpCertificate),
    workloadState: Object.fromEntries(states),
    version,
  };
}

function dumpWorkload(workload: Workload, { config }: MeshView, policiesFor: PolicyLookup): DumpWorkload {
  return {
    uid: workload.uid,
    workloadIps: workload.addresses,
    protocol: workload.protocol === 'hbone' ? 'HBONE' : 'TCP',
    name: workload.name,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount,
    workloadName: workload.owner.name,
    workloadType: workload.owner.kind,
    canonicalName: canonicalName(workload),
    canonicalRevision: canonicalRevision(workload),
    clusterId: config.clusterId,
    trustDomain: identityParts(workload.identity).trustDomain,
    node: workload.node,
    status: workload.terminating ? 'Unhealthy' : 'Healthy',
    hostname: '',
    // Istio lists only those that name the workload by its labels; the others are found by their namespace.
    authorizationPolicies: policiesFor(workload)
      .filter(
        ({ scope, namespace }) =>
          scopes[scope.type] === 'WorkloadSelector' && namespace === workload.namespace,
      )
      .map(({ key }) => key),
  };
}

function dumpService(service: Service, view: MeshView): DumpService {
  const endpoints = service.endpoints.map((endpoint): [string, DumpEndpoint] => {
    const workloadUid = view.workloadByIp(endpoint.address)?.uid ?? endpoint.address;
    return [
      `${workloadUid}:${endpoint.address}`,
      {
        workloadUid,
        service: `${service.namespace}/${service.hostname}`,
        port: Object.fromEntries(endpoint.ports),
      },
    ];
  });
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    vips: service.vips.map((vip) => `/${vip}`),
    ports: Object.fromEntries(service.ports.map(({ port }) => [port, targetPort(service, port)])),
    endpoints: Object.fromEntries(endpoints),
    ipFamilies: families(service.vips),
  };
}

/** Istio has one target port a Service port; ours may differ by endpoint, so the first endpoint speaks. */
const targetPort = (service: Service, port: Service['ports'][number]['port']): number =>
  service.endpoints.find((endpoint) => endpoint.ports.has(port))?.ports.get(port) ?? port;

function families(vips: readonly IpAddress[]): string {
  const v6 = vips.some((vip) => vip.includes(':'));
  const v4 = vips.some((vip) => !vip.includes(':'));
  if (v4 && v6) return 'Dual';
  return v6 ? 'IPv6' : v4 ? 'IPv4' : '';
}

const scopes = {
  mesh: 'Global',
  namespace: 'Namespace',
  selector: 'WorkloadSelector',
  services: 'WorkloadSelector',
} as const;

function dumpPolicy(policy: AuthorizationPolicy): DumpPolicy {
  return {
    name: policy.name,
    namespace: policy.namespace,
    scope: scopes[policy.scope.type],
    action: policy.action === 'allow' ? 'Allow' : 'Deny',
    rules: policy.rules.map((rule) => dumpRule(rule)),
  };
}

/** Clauses must all hold; of a clause's matches one must. */
const dumpRule = ({ from = [], to = [], when = [] }: PolicyRule): readonly (readonly DumpMatch[])[] =>
  [from, to, ...when.map((match) => [match])]
    .filter((matches) => matches.length > 0)
    .map((matches) => matches.map(dumpMatch));

function dumpMatch(match: PolicyMatch): DumpMatch {
  const { namespaces, notNamespaces, principals, notPrincipals, serviceAccounts, notServiceAccounts } = match;
  const { ipBlocks, notIpBlocks, destinationIps, notDestinationIps, ports, notPorts } = match;
  return {
    ...given('namespaces', namespaces?.map(stringMatch)),
    ...given('notNamespaces', notNamespaces?.map(stringMatch)),
    ...given('principals', principals?.map(stringMatch)),
    ...given('notPrincipals', notPrincipals?.map(stringMatch)),
    ...given('serviceAccounts', serviceAccounts?.map(accountMatch)),
    ...given('notServiceAccounts', notServiceAccounts?.map(accountMatch)),
    ...given('sourceIps', ipBlocks?.map(formatPrefix)),
    ...given('notSourceIps', notIpBlocks?.map(formatPrefix)),
    ...given('destinationIps', destinationIps?.map(formatPrefix)),
    ...given('notDestinationIps', notDestinationIps?.map(formatPrefix)),
    ...given('destinationPorts', ports),
    ...given('notDestinationPorts', notPorts),
  };
}

const given = <K extends string, V>(name: K, values: readonly V[] | undefined) =>
  (values === undefined ? {} : { [name]: values }) as Partial<Record<K, readonly V[]>>;

function accountMatch(account: string): DumpAccountMatch {
  const [namespace = '', serviceAccount = ''] = account.split('/');
  return { namespace, serviceAccount };
}

function stringMatch(pattern: string): DumpStringMatch {
  if (pattern === '*') return { Presence: {} };
  if (pattern.endsWith('*')) return { Prefix: pattern.slice(0, -1) };
  if (pattern.startsWith('*')) return { Suffix: pattern.slice(1) };
  return { Exact: pattern };
}

const certificateStates: Readonly<Record<CertificateState, string>> = {
  valid: 'Available',
  expiring: 'Available',
  expired: 'Unavailable: expired',
  pending: 'Initializing',
  failed: 'Unavailable',
};

function dumpCertificate(item: CertificateItem): DumpCertificate {
  const dump = (pem: string): DumpCertificate['certChain'][number] => ({
    pem: Buffer.from(pem).toString('base64'),
    serialNumber: item.serialNumber === null ? '' : BigInt(`0x${item.serialNumber}`).toString(),
    validFrom: item.notBefore ?? '',
    expirationTime: item.notAfter ?? '',
  });
  return {
    identity: item.identity,
    state: certificateStates[item.state],
    certChain: item.chain.map(dump),
    rootCerts: item.roots.map(dump),
  };
}

function workloadState(workload: Workload, live: readonly ConnectionSummary[]): DumpWorkloadState {
  const own = (direction: ConnectionSummary['direction']): readonly DumpConnection[] =>
    live
      .filter((summary) => summary.direction === direction)
      .filter(
        (summary) =>
          (direction === 'outbound' ? summary.source : summary.destination).workload?.uid === workload.uid,
      )
      .map(dumpConnection);
  return {
    state: 'Up',
    connections: { inbound: own('inbound'), outbound: own('outbound') },
    info: {
      name: workload.name,
      namespace: workload.namespace,
      trustDomain: identityParts(workload.identity).trustDomain,
      serviceAccount: workload.serviceAccount,
    },
  };
}

const dumpConnection = (summary: ConnectionSummary): DumpConnection => ({
  src: formatSocketAddress(summary.source.address),
  originalDst: formatSocketAddress(summary.originalDestination),
  actualDst: formatSocketAddress(summary.hboneAddress ?? summary.destination.address),
});
