/** The node's state as the admin API tells it: pure translations from the model to the documents' items. */
import type { CertificateStatus } from '../../identity/certificate-entry.ts';
import type { Service, Workload } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import type {
  CertificateItem,
  CertificateState,
  ServiceItem,
  WorkloadItem,
} from '../../telemetry/admin-api.ts';
import type { NodeFacts } from './node-facts.ts';

export const podName = ({ namespace, name }: Workload): string => `${namespace}/${name}`;

const iso = (ms: number): string => new Date(ms).toISOString();

export function workloadItem(workload: Workload, facts: NodeFacts): WorkloadItem {
  const certificate = facts.certificateOf(workload.identity);
  const local = workload.node === facts.node && workload.protocol === 'hbone';
  return {
    uid: workload.uid,
    namespace: workload.namespace,
    name: workload.name,
    node: workload.node,
    serviceAccount: workload.serviceAccount,
    identity: workload.identity,
    addresses: workload.addresses,
    protocol: workload.protocol,
    ...enrolmentOf(workload, facts),
    certificate: local && certificate !== undefined ? certificateSummary(certificate) : null,
    policies: facts.policiesFor(workload).map(({ key }) => key),
  };
}

function enrolmentOf(workload: Workload, facts: NodeFacts): Pick<WorkloadItem, 'enrolment' | 'reason'> {
  if (workload.protocol !== 'hbone') return { enrolment: 'not-meshed', reason: null };
  if (workload.node !== facts.node) return { enrolment: 'remote', reason: null };
  const state = facts.stateOf(workload);
  switch (state?.state) {
    case 'enrolled':
      return state.proof?.error === undefined
        ? { enrolment: 'enrolled', reason: null }
        : { enrolment: 'no', reason: state.proof.error.message };
    case 'failed':
      return { enrolment: 'no', reason: state.error.message };
    case 'pending':
      return { enrolment: 'no', reason: 'not enrolled yet' };
    case undefined:
      return {
        enrolment: 'no',
        reason: workload.hostNetwork ? 'it uses the host’s network' : 'it has no address',
      };
  }
}

export const serviceItem = (service: Service, view: MeshView): ServiceItem => ({
  namespace: service.namespace,
  name: service.name,
  hostname: service.hostname,
  vips: service.vips,
  ports: service.ports.map(({ name, port, protocol }) => ({ name, port, protocol })),
  endpoints: service.endpoints.map(({ address, ready, serving, terminating, ports }) => {
    const workload = view.workloadByIp(address);
    return {
      address,
      workload: workload === undefined ? null : podName(workload),
      ready,
      serving,
      terminating,
      ports: Object.fromEntries(ports),
    };
  }),
});

/** A certificate that outlived most of its life without being renewed is `expiring`. */
const expiringFrom = 0.75;

export function certificateState({ state, lifeUsed }: CertificateStatus): CertificateState {
  switch (state) {
    case 'pending':
    case 'expired':
    case 'failed':
      return state;
    case 'valid':
    case 'stale':
      return (lifeUsed ?? 0) >= expiringFrom ? 'expiring' : 'valid';
  }
}

const certificateSummary = (status: CertificateStatus): NonNullable<WorkloadItem['certificate']> => ({
  state: certificateState(status),
  notAfter: status.certificate === undefined ? null : iso(status.certificate.notAfter),
});

export function certificateItem(status: CertificateStatus, { own }: NodeFacts): CertificateItem {
  const { certificate, nextAttemptAt, lastError } = status;
  const users = own.filter(({ identity }) => identity === status.identity);
  return {
    identity: status.identity,
    state: certificateState(status),
    serialNumber: certificate?.serial ?? null,
    notBefore: certificate === undefined ? null : iso(certificate.notBefore),
    notAfter: certificate === undefined ? null : iso(certificate.notAfter),
    renewAt: nextAttemptAt === undefined ? null : iso(nextAttemptAt),
    lastError: lastError?.error.message ?? null,
    workloads: users.map(podName),
    chain: splitPem(certificate?.certificateChain),
    roots: splitPem(certificate?.trustedRoots),
  };
}

const splitPem = (pem = ''): string[] => pem.match(/-----BEGIN [^]+?-----END [A-Z ]+-----/g) ?? [];
