/** What the items of one answer of the admin API are made from: looked up once, however many items there are. */
import type { PodState } from '../../agent/pod-state.ts';
import type { CertificateStatus } from '../../identity/certificate-entry.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { NodeName, Workload } from '../../model/mesh.ts';
import type { AuthorizationPolicy, PeerAuthentication } from '../../model/policy.ts';
import type { MeshView } from '../../model/view.ts';
import { type PolicyLookup, policyLookup } from '../../policy/policy-lookup.ts';
import { peerAuthenticationLookup } from '../../policy/peer-authentication.ts';

export interface NodeState {
  readonly view: MeshView;
  readonly node: NodeName;
  readonly stateOf: (workload: Workload) => PodState | undefined;
  readonly certificates: readonly CertificateStatus[];
}

export interface NodeFacts extends NodeState {
  readonly certificateOf: (identity: SpiffeId) => CertificateStatus | undefined;
  readonly policiesFor: PolicyLookup;
  /** This node's workloads. */
  readonly own: readonly Workload[];
  /** Those of them to which the policy applies. */
  readonly ownUnder: (policy: AuthorizationPolicy) => readonly Workload[];
  readonly ownUnderMtls: (policy: PeerAuthentication) => readonly Workload[];
}

export function nodeFacts(state: NodeState): NodeFacts {
  const { view, node, certificates } = state;
  const certificateByIdentity = new Map(certificates.map((status) => [status.identity, status]));
  const policiesFor = policyLookup(view);
  const own = [...view.workloads.values()].filter((workload) => workload.node === node);
  const applications = own.flatMap((workload) =>
    policiesFor(workload).map((policy) => ({ policy, workload })),
  );
  const peersFor = peerAuthenticationLookup(view);
  const byPeerAuthentication = Map.groupBy(
    own.flatMap((workload) =>
      Object.values(peersFor(workload)).map((policy: PeerAuthentication | undefined) => ({
        policy,
        workload,
      })),
    ),
    ({ policy }) => policy,
  );
  const byPolicy = Map.groupBy(applications, ({ policy }) => policy);
  return {
    ...state,
    certificateOf: (identity) => certificateByIdentity.get(identity),
    policiesFor,
    own,
    ownUnderMtls: (policy) => byPeerAuthentication.get(policy)?.map(({ workload }) => workload) ?? [],
    ownUnder: (policy) => byPolicy.get(policy)?.map(({ workload }) => workload) ?? [],
  };
}
