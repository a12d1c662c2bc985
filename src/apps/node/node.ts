/**
 * The node program: agent, ztunnel, identity and telemetry in one process, started in the order in which they need
 * each other and stopped in reverse.
 *
 *   objects → certificates → datapath → ztunnel → servers → enrolment → ready
 */
import { CaptureProbe } from '../../agent/capture-probe.ts';
import { systemClock } from '../../base/clock.ts';
import type { SourceCondition } from '../../kube/source.ts';
import { createCompiler } from '../../policy/authorize.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { Readiness } from '../../telemetry/readiness.ts';
import { liveOnBothSides } from '../../ztunnel/both-sides.ts';
import type { NodeConfig } from '../config/node-config.ts';
import { createAdminApi } from './admin-api.ts';
import { requireCapabilities } from './capabilities.ts';
import { startDenialEvents } from './denial-events.ts';
import { followDenials } from './denials.ts';
import { createObservability, watchParts } from './observability.ts';
import { occasionalOccupancy, shareProblems } from './map-occupancy.ts';
import { buildCniInstaller, buildEnrolment, cniProblems, startCni } from './enrolment-parts.ts';
import {
  type Foundation,
  type NodeDeps,
  startDatapath,
  startIdentity,
  startModel,
  startRecorder,
  startServers,
  startZtunnel,
} from './parts.ts';
import { startReporting } from './pod-reports.ts';
import { startPolicyReports } from './policy-reports.ts';
import { conditionProblem, programProblems, sourceProblem } from './source-problem.ts';

/**
 * Runs until `stop` fires, then gives connections the configured time to finish. Pods stay captured.
 * @throws MeshError when it cannot start; nothing is left running then
 */
export async function runNode(config: NodeConfig, deps: NodeDeps, stop: AbortSignal): Promise<void> {
  requireCapabilities();
  await using cleanup = new AsyncDisposableStack();
  const draining: Promise<void>[] = [];
  const metrics = new Metrics({ runtime: true });
  const foundation: Foundation = { ...deps, config, clock: systemClock, metrics, cleanup, draining };
  const { log, version, keeper } = deps;

  const { store, source, server, progress } = await startModel(foundation, stop);
  const denialEvents = startDenialEvents(foundation, server);
  const observability = createObservability(metrics, store, foundation.clock, log, denialEvents);
  const serials = await startRecorder(foundation, store, observability);
  const certificates = startIdentity(foundation, store, observability);
  cleanup.defer(async () => void (await Promise.all(draining)));
  const readiness = new Readiness(['datapath', 'enrolment'], { certificates: () => certificates.serving });
  const datapath = await startDatapath(foundation, store);
  foundation.cleanup.defer(
    followDenials(datapath, store, observability.denials, foundation.clock, serials.denials),
  );
  readiness.done('datapath');
  const probe = new CaptureProbe({ native: deps.native, clock: foundation.clock });
  const watched = { ...observability, probe, source, serials };
  const policySetFor = createCompiler();
  const { engine, kernelConnections, prefetch } = startZtunnel(foundation, store, certificates, datapath, {
    ...watched,
    policySetFor,
  });
  observability.registry.alsoLive(() => liveOnBothSides(kernelConnections.live()));
  const pods = buildEnrolment(foundation, store, datapath, engine, {
    ...watched,
    enrolled: () => prefetch.refresh(),
  });
  const { enrolment } = pods;
  const cniInstaller = buildCniInstaller(foundation);

  const problemCount = (): number => source.problems.length + source.status().conditions.length;
  const occupancy = occasionalOccupancy(datapath, foundation.clock);
  watchParts(observability, {
    version,
    keeper,
    mesh: store,
    enrolment,
    certificates,
    engine,
    datapath,
    occupancy,
    problemCount,
  });
  const reportConditions: (() => readonly SourceCondition[])[] = [() => denialEvents.conditions()];
  const api = createAdminApi({
    node: config.nodeName,
    version,
    mesh: store,
    enrolment,
    certificates,
    registry: observability.registry,
    pairs: observability.pairs,
    policySetFor,
    engine,
    readiness,
    occupancy,
    sourceProblems: () => [
      ...source.status().conditions.map((condition) => conditionProblem(condition)),
      ...reportConditions.flatMap((read) => read()).map((condition) => conditionProblem(condition, '')),
      ...source.problems.map(sourceProblem),
      ...cniProblems(cniInstaller),
      ...programProblems(datapath),
      ...shareProblems(datapath.kernelPath.shares()),
    ],
    sourceStatus: () => source.status(),
    kernelPath: datapath.kernelPath.isOn ? { node: config.nodeName } : undefined,
    objectProblems: () => source.problems,
    setLogLevel: (level) => log.setLevel(level),
    now: () => foundation.clock.now(),
  });
  await startServers(foundation, api, observability, readiness);

  await enrolment.start();
  datapath.activate();
  // What changed while no node program was there.
  kernelConnections.judge();
  enrolment.startProving();
  await startCni(foundation, store, source, pods);
  await cniInstaller?.start();
  reportConditions.push(
    startReporting(foundation, server, store, enrolment),
    startPolicyReports(foundation, progress, store),
  );
  readiness.done('enrolment');
  const { ready, pending } = readiness.state();
  const facts = { pods: enrolment.counts(), version };
  if (ready) log.info(facts, 'ready');
  else log.warn({ ...facts, pending }, 'not ready: pods are captured, their connections are refused so far');

  await fired(stop);
  readiness.drain();
  log.info({ drainMs: config.drainMs }, 'shutting down: pods stay captured, connections get time to finish');
}

const fired = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
