/**
 * The face of the kernel side for the rest of the node program: install, enrol pods, follow the mesh, ask for
 * original destinations. One `Datapath` a node; what it did stays in force when its process ends.
 */
import { realpathSync } from 'node:fs';
import { hrtime } from 'node:process';
import type { SocketAddress } from '../base/ip.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { asMeshError, type ErrorCode, MeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { WorkloadUid } from '../model/mesh.ts';
import type { MeshDiff, MeshView } from '../model/view.ts';
import type { NativeBinding } from '../native/binding.ts';
import { mayChangeVerdicts } from '../policy/verdict-changes.ts';
import type { CounterName } from './abi/counters.ts';
import { readCounters } from './counters.ts';
import type { KernelPathScope } from './desired.ts';
import { type Denial, followDenials } from './egress/denials.ts';
import { EgressReconciler } from './egress/reconcile.ts';
import { Installation } from './installation.ts';
import { createCutter } from './kernel-path/cutter.ts';
import { flowLimits, FlowShares } from './kernel-path/flow-shares.ts';
import { followEnded } from './kernel-path/ended.ts';
import type { EndedBatch } from './kernel-path/ended-batch.ts';
import { type KernelConnection, KernelPath } from './kernel-path/kernel-path.ts';
import { VerdictCache } from './kernel-path/verdict-cache.ts';
import { cgroupTarget } from './links.ts';
import { defaultMapSizes, mapSpecs, type MapSizes } from './maps.ts';
import type { MapOccupancy } from './occupancy.ts';
import { NodeConfig } from './node-config.ts';
import { findNetnsCookie } from './netns-cookie.ts';
import { type CapturedConnection, takeOriginalDestination } from './original-destination.ts';
import { EnrolledPods, type EnrolledPod, type PodEnrolment } from './pods.ts';
import { DestinationReconciler, type ReconcileResult } from './reconcile.ts';
import { selfTest } from './self-test/self-test.ts';
import { ServiceReconciler } from './services/reconcile.ts';
import { KernelSessions } from './services/sessions.ts';
import { carryPods } from './takeover/carry-pods.ts';
import { carrySessions } from './takeover/carry-sessions.ts';
import { flowRecords } from './takeover/flow-records.ts';
import { Takeover } from './takeover/takeover.ts';

export interface DatapathOptions {
  readonly native: NativeBinding;
  /** Directory of ours on a BPF file system, `/sys/fs/bpf/mesh-ebpf`; made if missing. */
  readonly pinRoot: string;
  /** cgroup v2 directory; pods and ztunnel are below it. */
  readonly cgroupRoot: string;
  /** The cgroup of this process and nothing else, below `cgroupRoot`: whoever is in it is ztunnel. */
  readonly ztunnelCgroup: string;
  /** Path of the node's own network namespace. */
  readonly nodeNetns: string;
  /** The compiled object, `mesh.bpf.o`. */
  readonly objectPath: string;
  readonly sizes?: MapSizes;
  /** The cgroup that this process is in, to try new programs out on this kernel first; undefined: they are not. */
  readonly selfTestCgroup?: string;
  /** Whose pods reach each other without ztunnel; undefined: nobody's. */
  readonly kernelPath?: KernelPathScope;
  readonly clock?: Pick<Clock, 'after'>;
  readonly log: Logger;
}

export interface Datapath {
  /** Why the programs of a version before are in force instead of this one's; they enforce as well. */
  readonly degraded: MeshError | undefined;
  /** Why this one's programs are in force without having been tried out on this kernel. */
  readonly untried: MeshError | undefined;
  /**
   * Takes back the kernel's verdicts if they may have changed, before anything else. Then brings the `destinations`, `egress`, `services` and `endpoints` maps to the mesh's state. With `diff`, costs what the diff touches; without, repairs
   * the whole map: at start, and now and then.
   */
  apply(view: MeshView, diff?: MeshDiff): ReconcileResult;
  /** @throws MeshError INVALID_ARGUMENT, NETNS, BPF_MAP_FULL, BPF_ATTACH; then the pod is not enrolled */
  enrol(pod: PodEnrolment): number;
  /** Call before closing the pod's listeners. False if it was not enrolled. */
  unenrol(uid: WorkloadUid): boolean;
  /** All enrolled pods, those of an earlier agent too: unenrol what is gone, enrol again what is not. */
  enrolled(): readonly EnrolledPod[];
  /**
   * To be called once, when the pods that exist are enrolled and `apply` was called: puts newly made maps in force
   * and removes what belongs to no enrolled pod. Until then programs of an earlier agent go on enforcing.
   */
  activate(): void;
  /** The record of a connection accepted on a pod's capture port, once; undefined: refuse it. */
  originalDestination(client: SocketAddress, local: SocketAddress): CapturedConnection | undefined;
  readonly kernelPath: KernelPath;
  /** With which endpoints the kernel goes on where Services have session affinity. */
  readonly sessions: Pick<KernelSessions, 'find' | 'keep' | 'forget'>;
  /** Addresses of Services that ztunnel draws endpoints of because the kernel's maps have no room for them. */
  servicesLeftOut(): number;
  /** Ends connections on the kernel path; a moment later, those too that were only being made. */
  cut(connections: readonly KernelConnection[]): Promise<void>;
  /** Tells of connections that the kernel carried by itself, when they have ended. Once. */
  followEnded(heard: (batch: EndedBatch) => void): () => void;
  /** Id of the cgroup of the node program before this one, while what it does counts as the mesh's, too. */
  drainedCgroup(): bigint | undefined;
  /** From now on what it does counts as anybody's. */
  endDraining(): void;
  /** Tells of what a NamespaceAccess refused, from what the programs have told since they were installed on. Once. */
  followDenials(heard: (denial: Denial) => void): () => void;
  /** A namespace's cookie, from the kernel or (before 5.14) from our own programs. */
  netnsCookie(netns: string): Promise<bigint>;
  counters(): Readonly<Record<CounterName, bigint>>;
  /** Of every map that can fill up. Costs a walk over the smaller ones and `flows`: not for every scrape. */
  occupancy(): readonly MapOccupancy[];
  /** Lets go of descriptors; capture and enforcement go on. */
  close(): void;
}

/** @throws MeshError UNSUPPORTED, ABI_MISMATCH, BPF_LOAD, BPF_SELF_TEST, BPF_UNTRIED, BPF_ATTACH, INVALID_ARGUMENT, NETNS */
export async function openDatapath(options: DatapathOptions): Promise<Datapath> {
  assertOwnCgroup(options);
  const sizes = options.sizes ?? defaultMapSizes;
  const accelerate = options.kernelPath?.accelerate !== undefined;
  const { installation, ...state } = await openInstallation({ ...options, sizes, accelerate });
  try {
    return { ...(await start(installation, options, sizes)), ...state };
  } catch (thrown) {
    installation.close();
    throw thrown;
  }
}

type OpenOptions = DatapathOptions & { readonly sizes: MapSizes; readonly accelerate: boolean };
type ProgramState = Pick<Datapath, 'degraded' | 'untried'>;
type Opened = ProgramState & { readonly installation: Installation };

/**
 * With this version's programs, if they load and do on this kernel what they should. Else nothing in force is touched: if
 * it is of our layout, we go on with that.
 */
async function openInstallation(options: OpenOptions): Promise<Opened> {
  let installation: Installation | undefined;
  try {
    installation = Installation.open(options);
    return { installation, degraded: undefined, untried: await tryOut(installation, options) };
  } catch (thrown) {
    installation?.close();
    const degraded = asMeshError(thrown);
    return { installation: fallBack(options, degraded), degraded, untried: undefined };
  }
}

/**
 * Untried programs never replace others that were tried. Where there are none, a node without a mesh would be the
 * worse choice: the programs refuse what they are not sure of, and each pod is proved to be captured before it counts.
 */
async function tryOut(installation: Installation, options: OpenOptions): Promise<MeshError | undefined> {
  const { native, objectPath, selfTestCgroup: cgroup, log } = options;
  if (cgroup === undefined || !installation.hasUntriedPrograms) return undefined;
  try {
    await selfTest({ native, objectPath, cgroup, log });
    installation.markUntried(false);
    return undefined;
  } catch (thrown) {
    const error = asMeshError(thrown);
    if (error.code !== 'BPF_UNTRIED' || installation.replacesTriedPrograms) throw error;
    installation.markUntried(true);
    log.warn({ err: error }, 'the BPF programs go in force without having been tried out on this kernel');
    return error;
  }
}

/** Of errors that say something about the programs. */
const programErrors: ReadonlySet<ErrorCode> = new Set([
  'BPF_LOAD',
  'ABI_MISMATCH',
  'BPF_SELF_TEST',
  'BPF_UNTRIED',
  'BPF_ATTACH',
]);

function fallBack(options: OpenOptions, error: MeshError): Installation {
  const inForce = programErrors.has(error.code) ? Installation.inForce(options) : undefined;
  if (inForce === undefined) throw error;
  options.log.error({ err: error }, 'the programs in force stay so: those of this version cannot take over');
  return inForce;
}

/** Nanoseconds, as the programs count them. */
const monotonicNs = (): bigint => hrtime.bigint();

async function start(
  installation: Installation,
  options: DatapathOptions,
  sizes: MapSizes,
): Promise<Omit<Datapath, keyof ProgramState>> {
  const { native, log } = options;
  const { kernelPath: scope, clock = systemClock } = options;
  const limits = flowLimits(sizes, scope?.connectionsPerPod);
  const config = new NodeConfig(installation, {
    ztunnelCgroupId: cgroupTarget(options.ztunnelCgroup).id,
    kernelPath: scope !== undefined,
    accelerate: scope?.accelerate !== undefined,
    flows: limits,
  });
  const flows = installation.table(mapSpecs.flows);
  const { earlier } = installation;
  /** Once there is somebody who counts the records: what is carried over counts, too. */
  let recount: (() => void) | undefined;
  const { nodeNetns } = options;
  const accelerated = installation.table(mapSpecs.accelerated);
  const changed = (): void => recount?.();
  const takeover =
    earlier && new Takeover({ native, earlier, flows, accelerated, nodeNetns, clock, log, changed });
  installation.start(takeover);
  // Before 5.14 only programs tell cookies, and those in force may not know this node program.
  if (installation.staged && (await native.netnsCookie(options.nodeNetns)) === null) {
    installation.answerQuestionsFrom(options.ztunnelCgroup);
  }
  const cookies = installation.table(mapSpecs.cookies);
  const netnsCookie = (netns: string): Promise<bigint> => findNetnsCookie({ native, cookies }, netns);
  const nodeCookie = await netnsCookie(options.nodeNetns);
  config.setNode(nodeCookie);

  const tables = {
    pods: installation.table(mapSpecs.pods),
    localPods: installation.table(mapSpecs.localPods),
    guarded: installation.table(mapSpecs.guarded),
    destinations: installation.table(mapSpecs.destinations),
    services: installation.table(mapSpecs.services),
    endpoints: installation.table(mapSpecs.endpoints),
    sessions: installation.table(mapSpecs.sessions),
    egress: installation.table(mapSpecs.egress),
    listeners: installation.table(mapSpecs.listeners),
    flows,
  };
  if (earlier !== undefined) carryPods(installation, earlier, tables, log);
  const records = flowRecords(flows, takeover);
  const counters = installation.table(mapSpecs.counters);
  const reconciler = new DestinationReconciler({
    destinations: tables.destinations,
    capacity: sizes.destinations,
    kernelPath: scope,
    setCaptureUnknown: (on) => config.setCaptureUnknown(on),
    log,
  });
  const shares = new FlowShares({
    shares: installation.table(mapSpecs.shares),
    settled: installation.table(mapSpecs.settled),
    limits,
    log,
  });
  const pods: EnrolledPods = new EnrolledPods({
    pods: tables.pods,
    localPods: tables.localPods,
    guarded: tables.guarded,
    listeners: tables.listeners,
    shares,
    links: installation,
    netnsInode: (netns) => native.netnsId(netns).inode,
    egressSet: (uid) => egress.setFor(uid),
    newPodId: (atLeast) => config.newPodId(atLeast),
    nodeCookie,
    log,
  });
  const egress = new EgressReconciler({ egress: tables.egress, pods, log });
  const services: ServiceReconciler = new ServiceReconciler({
    services: tables.services,
    endpoints: tables.endpoints,
    sessionGeneration: () => sessions.lastGeneration(),
    kernelPath: scope,
    log,
  });
  const sessions = new KernelSessions({
    sessions: tables.sessions,
    choiceAt: (dialled) => services.choiceAt(dialled),
    monotonicNs,
    log,
  });

  const verdicts = new VerdictCache({ verdicts: installation.table(mapSpecs.verdicts), config, log });
  verdicts.clear();
  const kernelPath = new KernelPath({
    flows: records,
    isStray: (key) => takeover?.isStray(key) === true,
    accelerated,
    verdicts,
    pods,
    shares,
    scope,
    monotonicNs,
  });
  recount = () => kernelPath.sweep();
  const cut = createCutter({
    native,
    netnsOf: (uid) => pods.list().find((pod) => pod.uid === uid)?.netns,
    clock,
    log,
  });
  const takeBackVerdicts = (view: MeshView, diff: MeshDiff | undefined): void => {
    if (scope === undefined) return;
    if (diff === undefined) verdicts.catchUp();
    else if (mayChangeVerdicts(view, diff, ({ node }) => node === scope.node)) verdicts.invalidate();
  };

  // The largest ones, whose writers know.
  const counted = new Map<string, () => number>([
    [mapSpecs.destinations.name, () => reconciler.entries],
    [mapSpecs.egress.name, () => egress.entries],
    [mapSpecs.services.name, () => services.services],
    [mapSpecs.endpoints.name, () => services.endpoints],
  ]);
  return {
    apply(view, diff) {
      takeBackVerdicts(view, diff);
      // Whatever becomes of one, the others follow.
      try {
        return reconciler.apply(view, diff);
      } finally {
        try {
          egress.apply(view, diff);
        } finally {
          services.apply(view, diff);
          if (diff === undefined) sessions.sweep();
        }
      }
    },
    enrol: (pod) => pods.enrol(pod),
    unenrol: (uid) => pods.unenrol(uid),
    enrolled: () => pods.list(),
    activate() {
      if (!installation.live) config.switchOver(takeover);
      if (earlier !== undefined) carrySessions(earlier, tables.sessions, log);
      pods.sweep();
      kernelPath.sweep();
      takeover?.finish(
        () => pods.list(),
        () => installation.endEarlierRecorder(),
      );
    },
    originalDestination: (client, local) => takeOriginalDestination(records, client, local),
    drainedCgroup: () => config.drainedCgroup,
    endDraining: () => config.endDraining(),
    followDenials: (heard) =>
      followDenials({ ring: installation.ring(mapSpecs.denials.name), pods, monotonicNs }, heard),
    kernelPath,
    sessions,
    servicesLeftOut: () => services.leftOut,
    cut,
    followEnded: (heard) =>
      followEnded(
        {
          ring: installation.ring(mapSpecs.ended.name),
          earlierRings: takeover?.endedRings() ?? [],
          isTold: takeover && ((cookie) => takeover.isTold(cookie)),
          uidOf: (podId) => pods.uidOf(podId),
          monotonicNs,
          clock,
        },
        heard,
      ),
    netnsCookie,
    counters: () => readCounters(counters),
    occupancy: () =>
      Object.values(tables).map((table) => ({
        map: table.spec,
        capacity: table.spec.entries(sizes),
        entries: counted.get(table.spec.name)?.() ?? table.count(),
      })),
    close() {
      verdicts.close();
      sessions.close();
      takeover?.close();
      installation.close();
    },
  };
}

/** A cgroup shared with pods would make them ztunnel, and one outside the root would not be seen at all. */
function assertOwnCgroup({ cgroupRoot, ztunnelCgroup }: DatapathOptions): void {
  const root = realpathSync(cgroupRoot);
  if (realpathSync(ztunnelCgroup).startsWith(`${root}/`)) return;
  throw new MeshError('INVALID_ARGUMENT', `ztunnel's cgroup ${ztunnelCgroup} is not below ${root}`, {
    hint: 'run the node program in a cgroup of its own',
  });
}
