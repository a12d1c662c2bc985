/** The mesh's processes on one node: the node program everywhere, the controller on the first node. */
import { existsSync } from 'node:fs';
import type { LabState } from '../lab-file.ts';
import { nodeCgroups } from '../layout.ts';
import type { LabLayout } from '../layout.ts';
import type { NodeReport, ReportedProcess } from '../node-report.ts';
import { findKeeperProgram } from '../../native/keeper-program.ts';
import { controllerCommand, controllerNode, nodeCommand } from '../plan/mesh-commands.ts';
import { Supervisor } from './supervisor.ts';
import type { SupervisedSpec, SupervisorDeps } from './supervisor.ts';

const askEveryMs = 20;
/** How long the node program waits for the controller's certificate; then it is started and says what it misses. */
const patienceMs = 60_000;

export class MeshProcesses {
  readonly #layout: LabLayout;
  readonly #state: LabState;
  readonly #node: string;
  readonly #deps: SupervisorDeps;
  readonly #supervisors: Supervisor[] = [];
  #left: NodeReport['processes'] = [];

  constructor(layout: LabLayout, state: LabState, node: string, deps: SupervisorDeps) {
    this.#layout = layout;
    this.#state = state;
    this.#node = node;
    this.#deps = deps;
  }

  get states(): readonly ReportedProcess[] {
    return this.#supervisors.map((supervisor) => supervisor.state);
  }

  /** @param left what an earlier kubelet reported */
  start(left: NodeReport['processes']): void {
    if (!this.#state.mesh) return;
    this.#left = left;
    if (this.#node === controllerNode.name) this.#startController();
    this.#startNodeProgramWhenPossible(this.#deps.clock.now() + patienceMs);
  }

  #startController(): void {
    this.#supervise({
      name: 'controller',
      argv: controllerCommand(this.#state, this.#layout),
      cgroup: nodeCgroups(this.#state.cgroup2, this.#node).system,
      logFile: this.#layout.node(this.#node).controllerLog,
    });
  }

  /** The controller's root certificate must be there before: it is how the node knows its certificate authority. */
  #startNodeProgramWhenPossible(deadline: number): void {
    if (!existsSync(this.#layout.caRoot) && this.#deps.clock.now() < deadline) {
      this.#deps.clock.after(askEveryMs, () => this.#startNodeProgramWhenPossible(deadline));
      return;
    }
    this.#supervise({
      name: 'node',
      argv: nodeCommand(this.#state, this.#layout, this.#node, findKeeperProgram()),
      cgroup: nodeCgroups(this.#state.cgroup2, this.#node).mesh,
      logFile: this.#layout.node(this.#node).meshLog,
    });
  }

  #supervise(spec: SupervisedSpec): void {
    const supervisor = new Supervisor(spec, this.#deps);
    this.#supervisors.push(supervisor);
    supervisor.begin(this.#left.find(({ name }) => name === spec.name));
  }
}
