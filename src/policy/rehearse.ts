/**
 * What other policies would do to connections that were seen: each is judged by the policies in force and by those to
 * be, with the evaluator that ztunnel uses. Pure.
 */
import type { SocketAddress } from '../base/ip.ts';
import type { Verdict } from '../model/connection.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { Workload } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';
import { createAuthorizer } from './authorize.ts';
import { type EgressRequest, egressVerdict } from './egress.ts';

/** Connections that no policy can tell apart, but for addresses of the source's pods. */
export interface SeenConnection {
  readonly identity: SpiffeId | undefined;
  readonly source: SocketAddress;
  readonly destination: Workload;
  readonly target: SocketAddress;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly lastSeen: number;
}

export interface ChangedVerdict {
  readonly connection: SeenConnection;
  readonly before: Verdict;
  readonly after: Verdict;
}

export type PolicyState = Pick<MeshView, 'policies' | 'peerAuthentications' | 'access'>;

/** The same mesh with other policies. */
export const withPolicies = (view: MeshView, state: PolicyState): MeshView => ({
  version: view.version,
  config: view.config,
  workloads: view.workloads,
  services: view.services,
  nodes: view.nodes,
  policies: state.policies,
  peerAuthentications: state.peerAuthentications,
  access: state.access,
  workloadByIp: (ip) => view.workloadByIp(ip),
  serviceByVip: (ip) => view.serviceByVip(ip),
  servicesOfEndpoint: (ip) => view.servicesOfEndpoint(ip),
});

/** Those that are let in by the one and not by the other. */
export function rehearse(
  before: MeshView,
  after: MeshView,
  connections: readonly SeenConnection[],
): readonly ChangedVerdict[] {
  const [now, then] = [createAuthorizer(), createAuthorizer()];
  return connections.flatMap((connection) => {
    const verdicts = { before: now(before, connection), after: then(after, connection) };
    return verdicts.before.allowed === verdicts.after.allowed ? [] : [{ connection, ...verdicts }];
  });
}

/** What a pod sent, or would have sent, out of the mesh. */
export interface SeenEgress {
  readonly source: Workload;
  readonly request: EgressRequest;
  /** Milliseconds since the epoch. */
  readonly lastSeen: number;
}

export interface ChangedEgress {
  readonly egress: SeenEgress;
  readonly before: Verdict;
  readonly after: Verdict;
}

/** Those that may leave by the one and not by the other. */
export function rehearseEgress(
  before: MeshView,
  after: MeshView,
  seen: readonly SeenEgress[],
): readonly ChangedEgress[] {
  return seen.flatMap((egress) => {
    const verdicts = { before: verdictOn(before, egress), after: verdictOn(after, egress) };
    return verdicts.before.allowed === verdicts.after.allowed ? [] : [{ egress, ...verdicts }];
  });
}

const verdictOn = (view: MeshView, { source, request }: SeenEgress): Verdict =>
  egressVerdict(view, source, request) ?? unrestricted;

const unrestricted: Verdict = {
  allowed: true,
  policy: undefined,
  reason: 'no NamespaceAccess has a say in it',
};
