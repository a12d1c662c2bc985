/** The node program's enrolment: who belongs into the mesh, in which namespace, and the CNI plugin's questions. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CaptureProbe } from '../../agent/capture-probe.ts';
import { CaptureVerifier } from '../../agent/capture-verifier.ts';
import { CniAdmission } from '../../agent/cni/admission.ts';
import { pluginType } from '../../agent/cni/conf-files.ts';
import { CniInstaller } from '../../agent/cni/installer.ts';
import { startCniServer } from '../../agent/cni/server.ts';
import { Enrolment } from '../../agent/enrolment.ts';
import { netnsRules } from '../../agent/netns-rules.ts';
import { PodNamespaces } from '../../agent/pod-namespaces.ts';
import { cgroup1Mount } from '../../base/mounts.ts';
import type { Datapath } from '../../datapath/datapath.ts';
import type { MeshSource } from '../../kube/mesh-source.ts';
import type { PodLookup } from '../../model/pod-lookup.ts';
import type { MeshStore } from '../../model/store.ts';
import type { Fd } from '../../native/binding.ts';
import type { TunnelEngine } from '../../net/engine.ts';
import type { Problem } from '../../telemetry/admin-api.ts';
import { captureThrough } from './capture.ts';
import { enrolmentFailures, type Observability } from './observability.ts';
import type { Foundation } from './parts.ts';

/** How often an enrolled pod's namespace is compared with what runs. */
const verifyEveryMs = 5_000;
/** A node's usual 110 pods are all proved each time: one that is not captured any more is named within ten seconds. */
const provedPerTurn = 128;
const removeAbandonedEveryMs = 60_000;

export interface EnrolmentParts {
  readonly enrolment: Enrolment;
  readonly namespaces: PodNamespaces;
}

interface EnrolmentSources {
  readonly probe: CaptureProbe;
  readonly source: Pick<MeshSource, 'status'>;
  /** Told of each pod that has come in. */
  readonly enrolled: () => void;
}

export function buildEnrolment(
  { native, keeper, config, clock, log, cleanup }: Foundation,
  mesh: MeshStore,
  datapath: Datapath,
  engine: TunnelEngine,
  { metrics, probe, source, enrolled }: Pick<Observability, 'metrics'> & EnrolmentSources,
): EnrolmentParts {
  const namespaces = new PodNamespaces({
    native,
    cgroupRoots: [config.cgroupRoot, ...cgroup1Mount(readFileSync('/proc/self/mounts', 'utf8'))],
    now: () => clock.now(),
  });
  const enrolment = new Enrolment(
    {
      mesh,
      isCurrent: () => source.status().state === 'live',
      native,
      namespaces,
      keeper,
      verifier: new CaptureVerifier({ prove: (pod) => probe.prove(pod), clock }),
      capture: captureThrough(datapath, enrolled),
      rules: netnsRules(native),
      engine,
      clock,
      log: log.child({ scope: 'enrolment' }),
      attemptFailed: enrolmentFailures(metrics),
    },
    { node: config.nodeName, verifyEveryMs, provedPerTurn },
  );
  cleanup.defer(() => enrolment.stop());
  return { enrolment, namespaces };
}

/** Undefined when it is not to be installed. It is to be started when the agent answers its questions. */
export function buildCniInstaller({
  config: { cni, runDir },
  cniPluginPath: program,
  clock,
  log,
  cleanup,
}: Foundation): CniInstaller | undefined {
  if (cni === undefined) return undefined;
  const { confDir, binDir, waitSeconds, excludeNamespaces } = cni;
  const plugin = { type: pluginType, socket: cniSocket(runDir), waitSeconds, excludeNamespaces } as const;
  const deps = { clock, log: log.child({ scope: 'cni' }) };
  const installer = new CniInstaller(deps, { confDir, binDir, program, plugin });
  cleanup.defer(() => installer.stop());
  return installer;
}

/** For the admin API. */
export function cniProblems(installer: CniInstaller | undefined): readonly Problem[] {
  const problem = installer?.problem;
  if (problem === undefined) return [];
  const { code, message, hint = null } = problem.error;
  return [{ code, subject: 'CNI plugin', message, hint, since: new Date(problem.since).toISOString() }];
}

const cniSocket = (runDir: string): string => join(runDir, 'cni.sock');

/** Answers the CNI plugin from now on. @throws MeshError when its socket cannot be made */
export async function startCni(
  { native, config, clock, log, cleanup }: Foundation,
  mesh: MeshStore,
  lookup: PodLookup,
  { enrolment, namespaces }: EnrolmentParts,
): Promise<void> {
  const scoped = log.child({ scope: 'cni' });
  const admission = new CniAdmission(
    { mesh, lookup, namespaces, enrolment, clock, log: scoped },
    config.nodeName,
  );
  const server = await startCniServer(
    { admission, log: scoped, peerCredentials: (fd) => native.peerCredentials(fd as Fd) },
    cniSocket(config.runDir),
  );
  cleanup.defer(() => server.close());
  const sweep = (): void => {
    void admission.removeAbandoned().finally(() => (cancel = clock.after(removeAbandonedEveryMs, sweep)));
  };
  let cancel = clock.after(removeAbandonedEveryMs, sweep);
  cleanup.defer(() => cancel());
}
