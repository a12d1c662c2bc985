/**
 * The node program's parts, one function each: builds it, starts it, and leaves on the stack how to stop it. `node.ts`
 * calls them in the order in which they need each other.
 */
import { join } from 'node:path';
import { hrtime } from 'node:process';
import type { CaptureProbe } from '../../agent/capture-probe.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { metricsPort, readinessPort } from '../../base/ports.ts';
import { type Datapath, type DatapathOptions, openDatapath } from '../../datapath/datapath.ts';
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
import { bothSides, kernelIds } from '../../ztunnel/both-sides.ts';
import { createDecider } from '../../ztunnel/decider.ts';
import { departuresIn } from '../../ztunnel/departures.ts';
import { VerdictPrefetch, type VerdictPrefetchDeps } from '../../ztunnel/verdict-prefetch.ts';
import { KernelConnections, type KernelConnectionsDeps } from '../../ztunnel/kernel-connections.ts';
import { PolicyWatch } from '../../ztunnel/policy-watch.ts';
import type { NodeConfig } from '../config/node-config.ts';
import { accelerationOf } from './acceleration.ts';
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
  return {
    connections: nextSerial(records, 'c-'),
    denials: nextSerial(records, 'd-'),
    kernel: nextSerial(records, 'k-'),
  };
}

/** Numbers that no connection has that is remembered. */
export interface FirstSerials {
  readonly connections: number;
  readonly denials: number;
  readonly kernel: number;
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
    selfTestCgroup: ownCgroup(),
    sizes: config.mapSizes,
    clock,
    log: log.child({ scope: 'datapath' }),
    ...(await kernelPathScope(foundation)),
  };
  const datapath = await openWhenFree(() => openDatapath(options), clock, log);
  cleanup.defer(() => datapath.close());
  cleanup.defer(followDestinations(store, datapath, clock));
  cleanup.defer(followPredecessor(datapath, config.cgroupRoot, { clock, log }));
  return datapath;
}

/** Where a change could not end what it denies, nothing goes around ztunnel. */
async function kernelPathScope(foundation: Foundation): Promise<Pick<DatapathOptions, 'kernelPath'>> {
  const { config, native, log } = foundation;
  if (config.sameNode !== 'kernel') return {};
  const { nodeName: node, podConnections: connectionsPerPod } = config;
  if (native.probeSocketDestroy()) {
    const share = connectionsPerPod === undefined ? {} : { connectionsPerPod };
    return { kernelPath: { node, ...share, ...(await accelerationOf(foundation)) } };
  }
  log.warn(
    { hint: 'see: mesh-ebpf doctor' },
    'this kernel cannot end connections of pods: those within the node take HBONE, whatever --same-node says',
  );
  return {};
}

export function startZtunnel(
  foundation: Foundation,
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
): {
  readonly engine: TunnelEngine;
  readonly kernelConnections: KernelConnections;
  readonly prefetch: VerdictPrefetch;
} {
  const { native, config, clock, log, metrics, cleanup, draining } = foundation;
  const authorizer = createAuthorizer(policySetFor);
  const nextId = kernelIds(serials.kernel);
  const ledger = bothSides(traffic, nextId);
  const policyWatch = new PolicyWatch({ ledger, mesh: store, authorizer });
  cleanup.defer(() => policyWatch.stop());
  const kernelConnections = startKernelConnections(
    { ...foundation, ledger, nextId, authorizer },
    store,
    datapath,
  );
  const prefetch = startPrefetch({ ...foundation, authorizer }, store, datapath);
  const decider = createDecider({
    mesh: store,
    authorizer,
    ledger: policyWatch,
    kernelPath: datapath.kernelPath,
    sessions: datapath.sessions,
    originalDestination: (client, local) => datapath.originalDestination(client, local),
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
  return { engine, kernelConnections, prefetch };
}

/** After those who take back the kernel's verdicts and end connections: it is told of a change when they have done their part. */
function startPrefetch(
  { config, clock, log, cleanup, authorizer }: Foundation & Pick<VerdictPrefetchDeps, 'authorizer'>,
  store: MeshStore,
  datapath: Datapath,
): VerdictPrefetch {
  const prefetch = new VerdictPrefetch({
    mesh: store,
    authorizer,
    kernelPath: datapath.kernelPath,
    pods: () => datapath.enrolled(),
    limit: config.mapSizes.verdicts / 2,
    clock,
    monotonicNs: () => hrtime.bigint(),
    log: log.child({ scope: 'prefetch' }),
  });
  cleanup.defer(() => prefetch.stop());
  return prefetch;
}

/** How often records of connections that never got as far as ztunnel are looked for. */
const sweepEveryMs = 30_000;

function startKernelConnections(
  {
    config,
    clock,
    metrics,
    cleanup,
    ...ztunnel
  }: Foundation & Pick<KernelConnectionsDeps, 'ledger' | 'nextId' | 'authorizer'>,
  store: MeshStore,
  datapath: Datapath,
): KernelConnections {
  const connections = new KernelConnections({
    ...ztunnel,
    mesh: store,
    node: config.nodeName,
    clock,
    monotonicNs: () => hrtime.bigint(),
    kernel: {
      connections: () => (datapath.kernelPath.isOn ? datapath.kernelPath.connections() : []),
      cut: (doomed) => datapath.cut(doomed),
    },
    wereCut: (count) => metrics.count('mesh_kernel_path_cut_total', {}, count),
  });
  cleanup.defer(() => connections.stop());
  cleanup.defer(datapath.followEnded((ended) => connections.ended(ended)));
  const sweep = (): void => {
    datapath.kernelPath.sweep();
    cancel = clock.after(sweepEveryMs, sweep);
  };
  let cancel = clock.after(sweepEveryMs, sweep);
  cleanup.defer(() => cancel());
  return connections;
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
