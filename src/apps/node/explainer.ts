/** The node's answer to `mesh-ebpf explain`: its version of the mesh, and what it knows besides of its own pods. */
import type { Enrolment } from '../../agent/enrolment.ts';
import { MeshError } from '../../base/errors.ts';
import type { KernelPathScope } from '../../datapath/desired.ts';
import type { CertificateStatus } from '../../identity/certificate-entry.ts';
import type { CertificateManager } from '../../identity/certificate-manager.ts';
import type { SourceStatus } from '../../kube/source.ts';
import type { NodeName, Workload } from '../../model/mesh.ts';
import type { MeshReader } from '../../model/view.ts';
import type { PolicySetLookup } from '../../policy/authorize.ts';
import type { AdminApi } from '../../telemetry/admin-api.ts';
import type { Enrolment as KnownEnrolment } from '../../ztunnel/explanation/capture.ts';
import { createExplainer, type KnownCertificate } from '../../ztunnel/explanation/explanation.ts';
import { certificateState } from './admin-items.ts';

export interface NodeExplainerDeps {
  readonly node: NodeName;
  readonly mesh: MeshReader;
  readonly enrolment: Pick<Enrolment, 'stateOf'>;
  readonly certificates: Pick<CertificateManager, 'status'>;
  readonly policySetFor: PolicySetLookup;
  readonly sourceStatus: () => SourceStatus;
  readonly kernelPath: KernelPathScope | undefined;
}

export function createNodeExplainer(deps: NodeExplainerDeps): AdminApi['explain'] {
  const explain = createExplainer({
    policySetFor: deps.policySetFor,
    kernelPath: deps.kernelPath,
    enrolment: (workload) => enrolmentOf(deps, workload),
    certificate: (identity) =>
      certificateOf(deps.certificates.status().find((status) => status.identity === identity)),
  });
  return (query) => {
    const { state, conditions } = deps.sourceStatus();
    if (state === 'starting') {
      throw new MeshError('UNAVAILABLE', `node ${deps.node} has not read the objects of the mesh yet`, {
        hint: 'see: mesh-ebpf status',
      });
    }
    const answer = explain(deps.mesh.view, query);
    const why = conditions.map(({ error }) => error.message).join('; ');
    const stale = `node ${deps.node} decides by what it heard last, and some of it may have changed since: ${why}`;
    return state === 'stale' ? { ...answer, notes: [...answer.notes, stale] } : answer;
  };
}

/** What is another node's to say is undefined. */
function enrolmentOf({ node, enrolment }: NodeExplainerDeps, workload: Workload): KnownEnrolment | undefined {
  if (workload.node !== node) return undefined;
  const state = enrolment.stateOf(workload.uid);
  switch (state?.state) {
    case 'enrolled':
      return state.proof?.error === undefined
        ? { enrolled: true }
        : { enrolled: false, reason: state.proof.error.message };
    case 'failed':
      return { enrolled: false, reason: state.error.message };
    case 'pending':
    case undefined:
      return { enrolled: false, reason: 'it is not enrolled yet' };
  }
}

function certificateOf(status: CertificateStatus | undefined): KnownCertificate | undefined {
  if (status === undefined) return undefined;
  const { certificate, lastError } = status;
  const usable = status.state === 'valid' || status.state === 'stale';
  return {
    state: certificateState(status),
    notAfter: certificate === undefined ? null : new Date(certificate.notAfter).toISOString(),
    trouble: usable ? undefined : (lastError?.error ?? notYet(status)),
  };
}

const notYet = ({ identity, state }: CertificateStatus): MeshError =>
  new MeshError('CERTIFICATE_UNAVAILABLE', `the certificate of ${identity} is ${state}`, {
    hint: 'see: mesh-ebpf certs',
  });
