/** The controller program in a cluster: every replica signs, and the one that leads looks after the authority. */
import { systemClock } from '../base/clock.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import { metricsPort, readinessPort } from '../base/ports.ts';
import type { AuthorityOptions, CertificateAuthority } from '../controller/ca/authority.ts';
import { rotationStage, stages } from '../controller/ca/rotation-stage.ts';
import { Controller } from '../controller/controller.ts';
import { AuthorityDesk } from '../controller/kubernetes/authority-desk.ts';
import { AuthoritySecret } from '../controller/kubernetes/authority-secret.ts';
import { awaitAuthority } from '../controller/kubernetes/await-authority.ts';
import { Leadership } from '../controller/kubernetes/leadership.ts';
import { leaderLease } from '../controller/kubernetes/names.ts';
import { PodPlacementPolicy } from '../controller/kubernetes/pod-placement-policy.ts';
import type { PodsByNode } from '../controller/kubernetes/pods-by-node.ts';
import { TokenReviewer } from '../controller/kubernetes/token-reviewer.ts';
import { TrustBundles } from '../controller/kubernetes/trust-bundles.ts';
import type { PolicyStatus } from '../controller/policy-status/policy-status.ts';
import { ReportService } from '../controller/report-service.ts';
import type { ApiServer, KubeClient } from '../kube/client/kube-client.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { startMetricsServer, startReadinessServer } from '../telemetry/node-servers.ts';
import { Readiness } from '../telemetry/readiness.ts';
import { followPods, startPolicyStatus } from './cluster-following.ts';
import { countForbidden, notingClient } from './forbidden.ts';
import type { ClusterControllerConfig } from './config/cluster-controller-config.ts';

export interface ClusterControllerDeps {
  readonly client: KubeClient;
  /** Where pods are watched. */
  readonly server: ApiServer;
  readonly log: Logger;
  readonly version: string;
  /** Ports for metrics and readiness; tests take free ones. */
  readonly ports?: { readonly metrics: number; readonly readiness: number };
  /** Tests look after the authority more often. */
  readonly upkeepMs?: number;
  /** Hears where certificates are served. */
  readonly serving?: (address: SocketAddress) => void;
}

/** Requests under way at a stop get this long. */
const stopMs = 5_000;
/** Rotations that people ask for begin, and new namespaces have their bundle, within this time. */
const defaultUpkeepMs = 5_000;

/** Runs until `stop` fires. @throws MeshError when it cannot start */
export async function runClusterController(
  config: ClusterControllerConfig,
  deps: ClusterControllerDeps,
  stop: AbortSignal,
): Promise<void> {
  const { log, version, ports } = deps;
  const metrics = new Metrics({ runtime: true });
  const forbidden = countForbidden(metrics);
  const client = notingClient(deps.client, forbidden);
  metrics.observe('mesh_build_info', () => [
    { labels: { version, node_version: process.versions.node }, value: 1 },
  ]);
  const readiness = new Readiness(['certificate authority']);
  const servers = [
    await startReadinessServer(readiness, { port: ports?.readiness ?? readinessPort }, log),
    await startMetricsServer(metrics, { port: ports?.metrics ?? metricsPort }, log),
  ];
  const leadership = new Leadership(
    { client, clock: systemClock, log },
    { namespace: config.namespace, name: leaderLease, identity: config.identity },
  );
  await leadership.start();
  await using cleanup = new AsyncDisposableStack();
  const told = { ...deps, client, metrics, forbidden, cleanup };
  const policyStatus = startPolicyStatus(config, told, leadership.leading);
  const pods = followPods(told, policyStatus);
  const parts = { ...deps, client, leadership, metrics, pods, policyStatus };
  const controller = await startController(config, parts, stop);
  if (controller !== undefined) readiness.done('certificate authority');
  await stopped(stop);
  readiness.drain();
  await controller?.stop(AbortSignal.timeout(stopMs));
  await leadership.stop();
  await Promise.all(servers.map(async (server) => await server.close()));
}

interface Parts extends ClusterControllerDeps {
  readonly leadership: Leadership;
  readonly metrics: Metrics;
  readonly pods: PodsByNode;
  readonly policyStatus: PolicyStatus;
}

async function startController(
  config: ClusterControllerConfig,
  { client, log, leadership, metrics, pods, policyStatus, upkeepMs = defaultUpkeepMs, serving }: Parts,
  stop: AbortSignal,
): Promise<Controller | undefined> {
  const { namespace, mesh, certificateLifetimeMs } = config;
  const bundles = new TrustBundles(client, namespace);
  const desk = new AuthorityDesk(client, namespace, log);
  const options: AuthorityOptions = {
    store: new AuthoritySecret(client, { namespace, trustDomain: mesh.trustDomain }),
    trustDomain: mesh.trustDomain,
    leafLifetimeMs: certificateLifetimeMs,
  };
  const { leading } = leadership;
  const waiting = { leading, bundleExists: async () => await bundles.exists(), clock: systemClock, log };
  const authority = await awaitAuthority(waiting, options, stop);
  if (authority === undefined) return undefined;
  measure(metrics, authority, leading);
  const authenticator = new TokenReviewer(
    { client, pods, clock: systemClock },
    { audience: config.tokenAudience, nodeAgent: { namespace, serviceAccount: config.nodeAgent } },
  );
  const { controller, address } = await Controller.start(
    {
      authority,
      authenticator,
      reports: new ReportService({
        authenticator,
        take: (node, applied) => policyStatus.report(node, applied),
        clock: systemClock,
        log,
      }),
      policy: new PodPlacementPolicy(pods),
      leading,
      publish: async () => await lead(authority, bundles, desk),
      clock: systemClock,
      log,
      answered: (result) => metrics.count('mesh_authority_answers_total', { result }),
      upkeepFailed: () => metrics.count('mesh_authority_upkeep_failures_total', {}),
    },
    { listen: config.listen, serverNames: config.serverNames, upkeepMs },
  );
  serving?.(address);
  return controller;
}

/** What was asked for comes first, so that new roots are published in the same turn; neither keeps the other from it. */
async function lead(
  authority: CertificateAuthority,
  bundles: TrustBundles,
  desk: AuthorityDesk,
): Promise<void> {
  try {
    await desk.serve(authority);
  } finally {
    await bundles.publish(authority.trustBundle());
  }
}

function measure(metrics: Metrics, authority: CertificateAuthority, leading: () => boolean): void {
  metrics.observe('mesh_authority_leading', () => [{ labels: {}, value: leading() ? 1 : 0 }]);
  metrics.observe('mesh_authority_root_expiry_timestamp_seconds', () =>
    authority
      .status()
      .lineages.filter(({ issuing }) => issuing)
      .map(({ rootExpires }) => ({ labels: {}, value: rootExpires / 1000 })),
  );
  metrics.observe('mesh_authority_rotation', () => {
    const { stage: now } = rotationStage(authority.status());
    return stages.map((stage) => ({ labels: { stage }, value: stage === now ? 1 : 0 }));
  });
}

async function stopped(stop: AbortSignal): Promise<void> {
  if (stop.aborted) return;
  await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
}
