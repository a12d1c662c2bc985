/**
 * The node program: builds agent, ztunnel, identity and telemetry, starts them in the order in which they need each
 * other, and stops them in reverse. The only file that knows them all.
 *
 *   objects → store → datapath, certificates → engine → enrolment → ready
 */
import { join } from 'node:path';
import { Enrolment } from '../../agent/enrolment.ts';
import { netnsRules } from '../../agent/netns-rules.ts';
import { systemClock } from '../../base/clock.ts';
import { formatSocketAddress } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { metricsPort, readinessPort } from '../../base/ports.ts';
import { openDatapath } from '../../datapath/datapath.ts';
import { CertificateManager } from '../../identity/certificate-manager.ts';
import { GrpcCaClient } from '../../identity/grpc-ca-client.ts';
import { MeshSource } from '../../kube/mesh-source.ts';
import { YamlDirectory } from '../../kube/yaml-directory.ts';
import { MeshStore } from '../../model/store.ts';
import type { NativeBinding } from '../../native/binding.ts';
import { createTypeScriptEngine } from '../../net/tunnel/engine.ts';
import { createAuthorizer } from '../../policy/authorize.ts';
import { startAdminServer } from '../../telemetry/admin-server.ts';
import type { LogLevel } from '../../telemetry/admin-api.ts';
import { startMetricsServer, startReadinessServer } from '../../telemetry/node-servers.ts';
import { Readiness } from '../../telemetry/readiness.ts';
import { createDecider } from '../../ztunnel/decider.ts';
import { PolicyWatch } from '../../ztunnel/policy-watch.ts';
import type { NodeConfig } from '../config/node-config.ts';
import { createAdminApi } from './admin-api.ts';
import { captureThrough } from './capture.ts';
import { followDestinations, followIdentities } from './followers.ts';
import { ownCgroup } from './host-facts.ts';
import { createObservability, watchParts } from './observability.ts';
import { sourceProblem } from './source-problem.ts';

export interface NodeDeps {
  readonly native: NativeBinding;
  readonly log: Logger & { setLevel(level: LogLevel): void };
  readonly version: string;
  /** The compiled BPF object. */
  readonly objectPath: string;
}

const tasks = ['objects', 'datapath', 'enrolment'] as const;
const verifyEveryMs = 5_000;

/** Runs until `stop` fires, then drains for at most `drainMs`. @throws MeshError when it cannot start */
export async function runNode(config: NodeConfig, deps: NodeDeps, stop: AbortSignal): Promise<void> {
  const { native, log } = deps;
  const clock = systemClock;
  const readiness = new Readiness<(typeof tasks)[number]>(tasks);
  const cleanup = new AsyncDisposableStack();
  await using _ = cleanup;

  const store = new MeshStore({ log }, config.mesh);
  const source = new MeshSource(
    { source: new YamlDirectory({ clock, log }, { path: config.objects }), store, log },
    config.mesh,
  );
  await source.start();
  cleanup.defer(() => source.stop());
  readiness.done('objects');

  const ca = new GrpcCaClient({
    address: formatSocketAddress(config.caAddress),
    rootsFile: config.caRootFile,
    tokenFile: config.tokenFile,
    clusterId: config.mesh.clusterId,
  });
  const certificates = new CertificateManager({ ca, clock, log: log.child({ scope: 'identity' }) });
  cleanup.defer(() => certificates.close());
  cleanup.defer(followIdentities(store, config.nodeName, certificates));

  const datapath = await openDatapath({
    native,
    pinRoot: config.pinRoot,
    cgroupRoot: config.cgroupRoot,
    ztunnelCgroup: ownCgroup(),
    nodeNetns: '/proc/self/ns/net',
    objectPath: deps.objectPath,
    log: log.child({ scope: 'datapath' }),
  });
  cleanup.defer(() => datapath.close());
  cleanup.defer(followDestinations(store, datapath, clock));
  readiness.done('datapath');

  const observability = createObservability(store, clock, log);
  const authorizer = createAuthorizer();
  const policyWatch = new PolicyWatch({ ledger: observability.traffic, mesh: store, authorizer });
  cleanup.defer(() => policyWatch.stop());
  const engine = createTypeScriptEngine({
    sockets: native,
    credentials: certificates,
    decider: createDecider({
      mesh: store,
      authorizer,
      ledger: policyWatch,
      originalDestination: (client, local) => datapath.originalDestination(client, local)?.destination,
      random: () => clock.random(),
      now: () => clock.now(),
    }),
    clock,
    log: log.child({ scope: 'ztunnel' }),
  });
  cleanup.defer(() => engine.drain(AbortSignal.timeout(config.drainMs)));

  const enrolment = new Enrolment(
    {
      mesh: store,
      native,
      capture: captureThrough(datapath),
      rules: netnsRules,
      engine,
      clock,
      log: log.child({ scope: 'enrolment' }),
    },
    { node: config.nodeName, cgroupRoot: config.cgroupRoot, verifyEveryMs },
  );
  cleanup.defer(() => enrolment.stop());

  watchParts(observability, {
    version: deps.version,
    mesh: store,
    enrolment,
    certificates,
    engine,
    problemCount: () => source.problems.length,
  });
  const api = createAdminApi({
    node: config.nodeName,
    version: deps.version,
    mesh: store,
    enrolment,
    certificates,
    registry: observability.registry,
    engine,
    readiness,
    sourceProblems: () => source.problems.map(sourceProblem),
    sourceName: `directory ${config.objects}`,
    setLogLevel: (level) => log.setLevel(level),
    now: () => clock.now(),
  });
  const admin = { api, identity: { node: config.nodeName, now: () => clock.now() }, log, peerCredentials };
  const servers = await Promise.all([
    startAdminServer(admin, join(config.runDir, 'admin.sock')),
    startMetricsServer(observability.metrics, { port: metricsPort }, log),
    startReadinessServer(readiness, { port: readinessPort }, log),
  ]);
  cleanup.defer(async () => void (await Promise.all(servers.map((server) => server.close()))));

  await enrolment.start();
  datapath.activate();
  readiness.done('enrolment');
  log.info({ pods: enrolment.counts(), version: deps.version }, 'ready');

  await fired(stop);
  readiness.drain();
  log.info({ drainMs: config.drainMs }, 'shutting down: pods stay captured, connections get time to finish');

  function peerCredentials(fd: number) {
    return native.peerCredentials(fd as Parameters<NativeBinding['peerCredentials']>[0]);
  }
}

const fired = (signal: AbortSignal): Promise<void> =>
  signal.aborted
    ? Promise.resolve()
    : new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
