/**
 * The process that runs one node of the lab: watches the objects, runs its pods, publishes what it knows, serves DNS,
 * programs Services, and keeps the mesh's processes up. Started by `lab up` inside the node's network namespace, and
 * again whenever it ended: what runs on the node goes on meanwhile, and is taken over as it is.
 */
import { existsSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Pod } from '../../kube/objects.ts';
import { nodesOf } from '../lab-file.ts';
import type { LabState } from '../lab-file.ts';
import { nodeCgroups } from '../layout.ts';
import type { LabLayout } from '../layout.ts';
import { readNodeReport, writeNodeReport } from '../node-report.ts';
import type { ReportedProcess } from '../node-report.ts';
import { wantsMesh } from '../plan/enrolled.ts';
import type { Objects } from '../plan/objects.ts';
import { podEnvironment } from '../plan/pod-files.ts';
import { publish } from '../plan/publish.ts';
import { ObjectStore } from '../system/object-store.ts';
import { processRef } from '../system/process.ts';
import type { ProcessRef } from '../system/process.ts';
import { systemPath } from '../system/run.ts';
import type { LabNode } from '../topology.ts';
import { dnsAddresses } from '../topology.ts';
import { DnsServer } from './dns-server.ts';
import { adminSocketGate } from './enrolment.ts';
import { LocalPodSet } from './local-pods.ts';
import { rotateLog, rotateLogsIn } from './log-rotation.ts';
import { MeshProcesses } from './mesh-processes.ts';
import { applyNodeSettings } from './node-settings.ts';
import { PodRunner } from './pod-runner.ts';
import { ServiceProxy } from './service-proxy.ts';
import { slots } from './slots.ts';

export interface KubeletDeps {
  readonly layout: LabLayout;
  readonly state: LabState;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Changes that come in one burst are handled in one cycle. */
const gatherMs = 10;
const retryMs = 1000;
/** File watching can miss; nothing is overlooked for longer than this. */
const resyncMs = 5000;
const setUpsAtOnce = 6;

export class Kubelet {
  readonly #deps: KubeletDeps;
  readonly #node: LabNode;
  readonly #store: ObjectStore;
  readonly #pods: LocalPodSet;
  readonly #mesh: MeshProcesses;
  readonly #dns: DnsServer;
  readonly #proxy: ServiceProxy;
  readonly #setUpSlot = slots(setUpsAtOnce);
  #self: ReportedProcess = { name: 'kubelet', process: ownProcess(), restarts: 0 };
  /** Reports are written one after the other: the last one is the newest. */
  #reporting = Promise.resolve();
  /** A cycle is planned or runs. */
  #busy = false;
  /** Something changed after the running cycle began. */
  #again = false;

  constructor(nodeName: string, deps: KubeletDeps) {
    this.#deps = deps;
    this.#node = findNode(nodeName, deps.state);
    this.#store = new ObjectStore(deps.layout);
    this.#pods = new LocalPodSet(nodeName, {
      start: (pod, uid, objects) => this.#startPod(pod, uid, objects),
      isLeft: (uid) => existsSync(this.#podCgroup(uid)),
    });
    const onChange = (): void => this.#reportSoon();
    this.#mesh = new MeshProcesses(deps.layout, deps.state, nodeName, { ...deps, onChange });
    this.#dns = new DnsServer(deps.clock);
    this.#proxy = new ServiceProxy(this.#node, this.#dns);
  }

  /** Serves until the process ends; resolves when it serves. @param lastExit how the kubelet before this one ended */
  async start(lastExit: string | undefined): Promise<void> {
    const left = await readNodeReport(this.#deps.layout.node(this.#node.name));
    if (left !== undefined) this.#self = { ...this.#self, restarts: left.kubelet.restarts + 1 };
    if (lastExit !== undefined) this.#self = { ...this.#self, lastExit };
    await applyNodeSettings();
    await this.#dns.listen(dnsAddresses);
    this.#store.watch(() => this.#changed());
    this.#mesh.start(left?.processes ?? []);
    this.#changed();
    setInterval(() => void this.#maintain(), resyncMs);
    this.#reportSoon();
    await this.#reporting;
  }

  #changed(): void {
    this.#again = true;
    if (this.#busy) return;
    this.#busy = true;
    this.#deps.clock.after(gatherMs, () => void this.#cycle());
  }

  async #cycle(): Promise<void> {
    this.#again = false;
    let waitMs = gatherMs;
    try {
      await this.#converge();
    } catch (thrown) {
      const { code, message } = asMeshError(thrown);
      this.#deps.log.error({ code }, message);
      [waitMs, this.#again] = [retryMs, true];
    }
    this.#busy = this.#again;
    if (this.#again) this.#deps.clock.after(waitMs, () => void this.#cycle());
  }

  /** New pods start; what is known is published; then those end that are published as ending. */
  async #converge(): Promise<void> {
    this.#pods.adopt(this.#store.read());
    const objects = await this.#publish();
    this.#pods.retire(objects);
    await this.#proxy.update(objects);
  }

  /** Returns the state in which everything this node knows is published. */
  async #publish(): Promise<Objects> {
    const seen = this.#store.read();
    const { write, remove } = publish(seen, this.#node, this.#pods.report(seen));
    if (write.length === 0 && remove.length === 0) return seen;
    await this.#store.update((objects) => publish(objects, this.#node, this.#pods.report(objects)));
    return this.#store.read();
  }

  #startPod(pod: Pod, uid: string, objects: Objects): PodRunner {
    const { layout, state, clock, log } = this.#deps;
    const { namespace, name } = pod.metadata;
    const place = {
      uid,
      pod,
      node: this.#node,
      cgroup: this.#podCgroup(uid),
      paths: layout.pod(namespace, name),
    };
    const meshed = state.mesh && wantsMesh(pod, objects);
    return new PodRunner(place, {
      clock,
      log,
      gate: meshed ? adminSocketGate(layout.node(this.#node.name).adminSocket) : undefined,
      environment: podEnvironment(pod, `${layout.bin}:${systemPath}`),
      setUpSlot: this.#setUpSlot,
      onChange: () => this.#changed(),
    });
  }

  #podCgroup(uid: string): string {
    return nodeCgroups(this.#deps.state.cgroup2, this.#node.name).pod(uid);
  }

  async #maintain(): Promise<void> {
    this.#changed();
    await rotateLogsIn(this.#deps.layout.node(this.#node.name).dir);
    for (const path of this.#pods.logs()) await rotateLog(path);
  }

  #reportSoon(): void {
    const failed = (thrown: unknown): void => this.#deps.log.error({}, asMeshError(thrown).message);
    this.#reporting = this.#reporting.then(() => this.#report()).catch(failed);
  }

  async #report(): Promise<void> {
    await writeNodeReport(this.#deps.layout.node(this.#node.name), {
      kubelet: this.#self,
      processes: this.#mesh.states,
    });
  }
}

function findNode(name: string, state: LabState): LabNode {
  const node = nodesOf(state).find((candidate) => candidate.name === name);
  if (node === undefined) throw new MeshError('NOT_FOUND', `the lab has no node "${name}"`);
  return node;
}

function ownProcess(): ProcessRef {
  const ref = processRef(process.pid);
  if (ref === undefined) throw new MeshError('INTERNAL', '/proc does not show this process');
  return ref;
}
