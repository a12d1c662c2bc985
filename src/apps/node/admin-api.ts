/** The node's answers on its admin socket: gathers from agent, ztunnel and identity; `admin-items.ts` translates. */
import { release } from 'node:os';
import type { Enrolment } from '../../agent/enrolment.ts';
import type { MeshError } from '../../base/errors.ts';
import type { KernelPathScope } from '../../datapath/desired.ts';
import type { MapOccupancy } from '../../datapath/occupancy.ts';
import type { CertificateManager } from '../../identity/certificate-manager.ts';
import type { Problem as ObjectProblem } from '../../kube/problem.ts';
import type { SourceStatus } from '../../kube/source.ts';
import type { NodeName, WorkloadUid } from '../../model/mesh.ts';
import type { MeshReader } from '../../model/view.ts';
import type { TunnelEngine } from '../../net/engine.ts';
import type { PolicySetLookup } from '../../policy/authorize.ts';
import type { AdminApi, LogLevel, Problem, StatusBody } from '../../telemetry/admin-api.ts';
import { configDump } from '../../telemetry/config-dump.ts';
import { connectionsBody } from '../../telemetry/connection-items.ts';
import type { ConnectionRegistry } from '../../telemetry/connection-registry.ts';
import type { PairTable } from '../../telemetry/flight/pairs.ts';
import type { Readiness } from '../../telemetry/readiness.ts';
import { certificateItem, podName, serviceItem, workloadItem } from './admin-items.ts';
import { driftOf } from './drift.ts';
import { occupancyProblems } from './map-occupancy.ts';
import { createNodeExplainer } from './explainer.ts';
import { type NodeFacts, nodeFacts } from './node-facts.ts';
import { peerAuthenticationItem, policyItem } from './policy-items.ts';
import { lintInForce } from './policy-lint.ts';
import { pairItems, rehearsalBody } from './seen.ts';

export interface AdminApiDeps {
  readonly node: NodeName;
  readonly version: string;
  readonly mesh: MeshReader;
  readonly enrolment: Pick<Enrolment, 'stateOf' | 'counts'>;
  readonly certificates: Pick<CertificateManager, 'status'>;
  readonly registry: ConnectionRegistry;
  readonly pairs: Pick<PairTable, 'all'>;
  /** Shared with whoever authorizes: policies are compiled once. */
  readonly policySetFor: PolicySetLookup;
  readonly engine: Pick<TunnelEngine, 'stats'>;
  readonly readiness: Readiness;
  readonly occupancy: () => readonly MapOccupancy[];
  /** What the source of objects complains about. */
  readonly sourceProblems: () => readonly Problem[];
  readonly sourceStatus: () => SourceStatus;
  /** Whose pods reach each other without ztunnel; undefined: nobody's. */
  readonly kernelPath: KernelPathScope | undefined;
  /** What is wrong with objects, as it was found. */
  readonly objectProblems: () => readonly ObjectProblem[];
  readonly setLogLevel: (level: LogLevel) => void;
  readonly now: () => number;
}

const iso = (ms: number): string => new Date(ms).toISOString();

export function createAdminApi(deps: AdminApiDeps): AdminApi {
  const startedAt = deps.now();
  const explain = createNodeExplainer(deps);
  let lastChangeAt: number | undefined;
  deps.mesh.subscribe(() => (lastChangeAt = deps.now()));
  const each = <In, Out>(items: Iterable<In>, translate: (item: In, facts: NodeFacts) => Out): Out[] => {
    const facts = nodeFacts({
      view: deps.mesh.view,
      node: deps.node,
      stateOf: ({ uid }) => deps.enrolment.stateOf(uid),
      certificates: deps.certificates.status(),
    });
    return [...items].map((item) => translate(item, facts));
  };

  return {
    status: () => statusBody(deps, startedAt, lastChangeAt),
    workloads: () => each(deps.mesh.view.workloads.values(), workloadItem),
    services: () => each(deps.mesh.view.services.values(), (service, { view }) => serviceItem(service, view)),
    certificates: () => each(deps.certificates.status(), certificateItem),
    policies: () => [
      ...each(deps.mesh.view.policies.values(), policyItem),
      ...each(deps.mesh.view.peerAuthentications.values(), peerAuthenticationItem),
    ],
    lint: (networkPolicies) => lintInForce(deps.mesh.view, deps.objectProblems(), networkPolicies),
    pairs: (namespace) => pairItems(deps.mesh.view, deps.pairs.all(), namespace),
    rehearse: (query) => rehearsalBody(deps.mesh.view, deps, query),
    connections: (query) => connectionsBody(deps.registry, query),
    explain,
    enrolment(uid) {
      const workload = deps.mesh.view.workloads.get(uid as WorkloadUid);
      const state = deps.enrolment.stateOf(uid as WorkloadUid);
      if (workload !== undefined && state?.state === 'enrolled') {
        return { enrolled: true, workload: podName(workload), since: iso(state.since) };
      }
      if (workload === undefined) return { enrolled: false, reason: 'this node does not know the pod (yet)' };
      const why = state?.state === 'failed' ? state.error.message : 'not enrolled yet';
      return { enrolled: false, reason: state === undefined ? 'the pod does not belong into the mesh' : why };
    },
    configDump: () =>
      configDump({
        view: deps.mesh.view,
        version: deps.version,
        certificates: each(deps.certificates.status(), certificateItem),
        enrolled: [...deps.mesh.view.workloads.keys()].filter(
          (uid) => deps.enrolment.stateOf(uid)?.state === 'enrolled',
        ),
        live: deps.registry.live(),
      }),
    setLogLevel: deps.setLogLevel,
  };
}

function statusBody(deps: AdminApiDeps, startedAt: number, lastChangeAt: number | undefined): StatusBody {
  const problems = [
    ...enrolmentProblems(deps),
    ...deps.sourceProblems(),
    ...certificateProblems(deps),
    ...occupancyProblems(deps.occupancy()),
  ];
  const readiness = deps.readiness.state();
  const source = deps.sourceStatus();
  return {
    version: deps.version,
    startedAt: iso(startedAt),
    health: readiness.ready && problems.length === 0 ? 'ok' : 'degraded',
    kernel: release(),
    source: {
      name: source.name,
      state: source.state,
      lastEventAt: source.lastEventAt === undefined ? null : iso(source.lastEventAt),
      meshVersion: deps.mesh.view.version,
      lastChangeAt: lastChangeAt === undefined ? null : iso(lastChangeAt),
    },
    pods: deps.enrolment.counts(),
    ca: authorityState(deps),
    connections: { live: deps.registry.liveCount, ...connectionCounts(deps) },
    readiness,
    problems,
  };
}

function connectionCounts({ engine }: AdminApiDeps): Omit<StatusBody['connections'], 'live'> {
  const { tunnelsOut, tunnelsIn, bufferedBytes } = engine.stats();
  return { tunnelsOut, tunnelsIn, bufferedBytes };
}

function authorityState({ certificates }: AdminApiDeps): StatusBody['ca'] {
  const all = certificates.status();
  const failing = all.find(({ failures, lastError }) => failures > 0 && lastError !== undefined);
  const [next] = all
    .flatMap(({ identity, certificate }) => (certificate === undefined ? [] : [{ identity, ...certificate }]))
    .toSorted((a, b) => a.notAfter - b.notAfter);
  return {
    state: failing !== undefined ? 'unreachable' : next === undefined ? 'unknown' : 'ok',
    message: failing?.lastError?.error.message ?? null,
    nextExpiry: next === undefined ? null : { identity: next.identity, notAfter: iso(next.notAfter) },
  };
}

/** Pods that belong into the mesh and have been outside for longer than it takes to get in. */
const enrolmentProblems = ({ mesh, enrolment, now }: AdminApiDeps): Problem[] =>
  [...mesh.view.workloads.values()].flatMap((workload) => {
    const drift = driftOf(enrolment.stateOf(workload.uid), now());
    return drift === undefined ? [] : [problem(`pod ${podName(workload)}`, drift.error, iso(drift.since))];
  });

const certificateProblems = ({ certificates }: AdminApiDeps): Problem[] =>
  certificates
    .status()
    .flatMap(({ identity, lastError, failures }) =>
      failures > 0 && lastError !== undefined
        ? [problem(`certificate ${identity}`, lastError.error, iso(lastError.at))]
        : [],
    );

const problem = (subject: string, { code, message, hint }: MeshError, since: string): Problem => ({
  code,
  subject,
  message,
  hint: hint ?? null,
  since,
});
