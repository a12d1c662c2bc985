/**
 * The node program's parts, one function each: builds it, starts it, and leaves on the stack how to stop it. `node.ts`
 * calls them in the order in which they need each other.
 */
import { join } from 'node:path';
import type { CaptureProbe } from '../../agent/capture-probe.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { metricsPort, readinessPort } from '../../base/ports.ts';
import { type Datapath, openDatapath } from '../../datapath/datapath.ts';
import { CertificateManager } from '../../identity/certificate-manager.ts';
import { keeperVault } from '../../identity/credential-vault.ts';
import { GrpcCaClient } from '../../identity/grpc-ca-client.ts';
import { MeshSource } from '../../kube/mesh-source.ts';
import { MeshStore } from '../../model/store.ts';
import type { NativeBinding } from '../../native/binding.ts';
import type { Keeper } from '../../native/keeper.ts';
import type { TunnelEngine } from '../../net/engine.ts';
import { createTypeScriptEngine } from '../../net/tunnel/engine.ts';
import { createAuthorizer, type PolicySetLookup } from '../../policy/authorize.ts';
import type { AdminApi, LogLevel } from '../../telemetry/admin-api.ts';
import { startMetricsServer, startReadinessServer } from '../../telemetry/node-servers.ts';
import { FlightFile } from '../../telemetry/flight/flight-file.ts';
import { FlightRecorder } from '../../telemetry/flight/recorder.ts';
import { nextSerial } from '../../telemetry/flight/serials.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Readiness } from '../../telemetry/readiness.ts';
import { createDecider } from '../../ztunnel/decider.ts';
import { departuresIn } from '../../ztunnel/departures.ts';
import { PolicyWatch } from '../../ztunnel/policy-watch.ts';
import type { NodeConfig } from '../config/node-config.ts';
import { serveAdmin } from './admin-socket.ts';
import { followDestinations, followIdentities } from './followers.ts';
import { followPredecessor } from './predecessor.ts';
import { ownCgroup } from './host-facts.ts';
import { openWhenFree } from './open-when-free.ts';
import { answerWhileWaiting } from './waiting.ts';
import { openObjects } from './objects.ts';
import { certificateRequests, type Observability, routeTroubles } from './observability.ts';

export interface NodeDeps {
  readonly native: NativeBinding;
  /** Outlives this process. */
  readonly keeper: Keeper;
  readonly log: Logger & { setLevel(level: LogLevel): void };
  readonly version: string;
  /** The compiled BPF object. */
  readonly objectPath: string;
  /** The compiled CNI plugin. */
  readonly cniPluginPath: string;
}

/** What every part is built from. */
export interface Foundation extends NodeDeps {
  readonly config: NodeConfig;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly cleanup: AsyncDisposableStack;
  /**
   * What is let finish while the rest stops. Connections under way need nobody else, and the node program that
   * takes over needs what the rest gives free.
   */
  readonly draining: Promise<void>[];
}

/** Waits for the objects, and says so. @throws MeshError when they cannot be read at all, or `stop` fires first */
export async function startModel(foundation: Foundation, stop: AbortSignal) {
  const { config, log, cleanup } = foundation;
  const store = new MeshStore({ log }, config.mesh);
  const objects = await openObjects(foundation, stop);
  const source = new MeshSource({ source: objects.source, store, log }, config.mesh);
  cleanup.defer(() => source.stop());
  log.info({ source: source.status().name }, 'reading the objects of the mesh');
  // Without an API server and without a snapshot there is nothing to do but to wait: what is captured stays so.
  const giveUp = (): void => source.stop();
  stop.addEventListener('abort', giveUp);
  const answering = answerWhileWaiting(foundation, store, source);
  try {
    await source.start();
  } finally {
    await answering.end();
  }
  stop.removeEventListener('abort', giveUp);
  return { store, source, server: objects.server, progress: objects.progress };
}

/**
 * Takes over what the node program before this one remembered of connections, and goes on keeping it on disk; to the
 * end of the last connection that drains.
 */
export async function startRecorder(
  { config, clock, log, cleanup }: Foundation,
  store: MeshStore,
  { registry, pairs }: Pick<Observability, 'registry' | 'pairs'>,
): Promise<FirstSerials> {
  const file = new FlightFile(join(config.runDir, 'connections.flight'));
  const recorder = new FlightRecorder({
    file,
    registry,
    pairs,
    clock,
    log: log.child({ scope: 'flight' }),
    node: config.nodeName,
  });
  cleanup.defer(() => recorder.close());
  await recorder.start((uid) => store.view.workloads.get(uid));
  const records = registry.recent().records.map(({ record }) => record);
  return { connections: nextSerial(records, 'c-'), denials: nextSerial(records, 'd-') };
}

/** Numbers that no connection has that is remembered. */
export interface FirstSerials {
  readonly connections: number;
  readonly denials: number;
}

export function startIdentity(
  { config, native, keeper, clock, log, cleanup }: Foundation,
  store: MeshStore,
  { metrics }: Observability,
): CertificateManager {
  const ca = new GrpcCaClient({
    address: config.caAddress,
    rootsFile: config.caRootFile,
    tokenFile: config.tokenFile,
    clusterId: config.mesh.clusterId,
  });
  const certificates = new CertificateManager({
    ca,
    clock,
    log: log.child({ scope: 'identity' }),
    observer: certificateRequests(metrics),
    vault: keeperVault(native, keeper),
  });
  cleanup.defer(() => certificates.close());
  cleanup.defer(followIdentities(store, config.nodeName, certificates));
  return certificates;
}

/** @throws MeshError when the kernel refuses, or the pins are another version's */
export async function startDatapath(foundation: Foundation, store: MeshStore): Promise<Datapath> {
  const { config, native, objectPath, clock, log, cleanup } = foundation;
  const options = {
    native,
    pinRoot: config.pinRoot,
    cgroupRoot: config.cgroupRoot,
    ztunnelCgroup: ownCgroup(),
    nodeNetns: '/proc/self/ns/net',
    objectPath,
    sizes: config.mapSizes,
    log: log.child({ scope: 'datapath' }),
  };
  const datapath = await openWhenFree(() => openDatapath(options), clock, log);
  cleanup.defer(() => datapath.close());
  cleanup.defer(followDestinations(store, datapath, clock));
  cleanup.defer(followPredecessor(datapath, config.cgroupRoot, { clock, log }));
  return datapath;
}

export function startZtunnel(
  { native, config, clock, log, metrics, cleanup, draining }: Foundation,
  store: MeshStore,
  certificates: CertificateManager,
  datapath: Datapath,
  {
    traffic,
    probe,
    serials,
    policySetFor,
  }: Pick<Observability, 'traffic'> & {
    readonly probe: CaptureProbe;
    readonly serials: FirstSerials;
    readonly policySetFor: PolicySetLookup;
  },
): TunnelEngine {
  const authorizer = createAuthorizer(policySetFor);
  const policyWatch = new PolicyWatch({ ledger: traffic, mesh: store, authorizer });
  cleanup.defer(() => policyWatch.stop());
  const decider = createDecider({
    mesh: store,
    authorizer,
    ledger: policyWatch,
    originalDestination: (client, local) => datapath.originalDestination(client, local)?.destination,
    random: () => clock.random(),
    probeArrived: (uid, port) => probe.arrived(uid, port),
    troubles: routeTroubles(metrics),
    now: () => clock.now(),
    firstSerial: serials.connections,
  });
  const scoped = log.child({ scope: 'ztunnel' });
  const engine = createTypeScriptEngine({
    sockets: native,
    credentials: certificates,
    decider,
    clock,
    log: scoped,
  });
  cleanup.defer(
    store.subscribe((view, diff) =>
      departuresIn(view, diff).forEach((departure, ip) => engine.peerDeparts(ip, departure)),
    ),
  );
  cleanup.defer(() => void draining.push(engine.drain(AbortSignal.timeout(config.drainMs))));
  return engine;
}

export async function startServers(
  { config, native, clock, log, cleanup }: Foundation,
  api: AdminApi,
  { metrics }: Observability,
  readiness: Readiness,
): Promise<void> {
  const servers = await Promise.all([
    serveAdmin({ config, native, clock, log }, api),
    startMetricsServer(metrics, { port: metricsPort }, log),
    startReadinessServer(readiness, { port: readinessPort }, log),
    ...(config.readySocket === undefined
      ? []
      : [startReadinessServer(readiness, { path: config.readySocket }, log)]),
  ]);
  cleanup.defer(async () => void (await Promise.all(servers.map((server) => server.close()))));
}
