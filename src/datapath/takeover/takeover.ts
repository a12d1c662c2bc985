/**
 * Carries over what programs of another version know of open connections, when their successors come with maps of their
 * own. The links change one after the other, and meanwhile connections are opened, admitted and closed by both:
 *
 *   begin    the old programs leave nothing to the kernel path any more; all their records are copied
 *   ...      the links change; a second link keeps the old recorder beside the new one
 *   merge    what the old ones recorded or found out since then is moved; and once more a second later, when the last
 *            call of an old program has long returned
 *   prove    records whose socket is gone are removed: whoever copied them came too late to hear of the end
 *
 * Until the end, who asks for a record is told what either of the two knows. A record that cannot be read is one of a
 * connection that can be neither judged nor logged: those are ended (`unknown-connections.ts`).
 */
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { NativeBinding } from '../../native/binding.ts';
import type { Accelerated } from '../abi/acceleration-layout.ts';
import type { Flow, FlowKey } from '../abi/layout.ts';
import type { MapTable } from '../map-table.ts';
import { AcceleratedRecords } from './accelerated-records.ts';
import type { EarlierMaps, EndedRing } from './earlier-maps.ts';
import type { EarlierTable } from './earlier-table.ts';
import { isSameFlow, mergedFlow } from './merge.ts';
import { type PlacedPod, proveFlows } from './prove.ts';
import { endUnknown } from './unknown-connections.ts';

export interface TakeoverDeps {
  readonly native: Pick<NativeBinding, 'tcpSockets' | 'destroySockets'>;
  readonly earlier: EarlierMaps;
  /** The new programs'. */
  readonly flows: MapTable<FlowKey, Flow>;
  readonly accelerated: MapTable<bigint, Accelerated>;
  readonly nodeNetns: string;
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Logger;
  /** Told when there are other records than before in `flows`. */
  readonly changed: () => void;
}

/** By then no program of before runs any more, nor does a connect() that one of them saw. */
const settleMs = 1_000;
/** What they told last has been read by then. */
const readMs = 200;

type EarlierFlows = EarlierTable<FlowKey, Flow>;

export class Takeover {
  readonly #deps: TakeoverDeps;
  readonly #flows: EarlierFlows[] = [];
  readonly #accelerated: AcceleratedRecords;
  /** There are connections that nobody can tell anything of. */
  #isBlind = false;
  /** Kernel-path connections whose record found no room. */
  readonly #unfit = new Map<FlowKey, Flow>();
  /** Ended connections that were told of, by cookie: both recorders may know one. */
  readonly #heard = new Set<bigint>();
  readonly #rings: EndedRing[] = [];
  #isOver = false;
  #cancel: () => void = () => {};

  constructor(deps: TakeoverDeps) {
    this.#deps = deps;
    const { accelerated: ours, flows, log } = deps;
    this.#accelerated = new AcceleratedRecords({ theirs: deps.earlier.accelerated(), ours, flows, log });
    for (const table of deps.earlier.flows()) {
      if (table === undefined) this.#isBlind = true;
      else this.#flows.push(table);
    }
  }

  begin(): void {
    this.#deps.earlier.keep();
    this.#endKernelPath();
    this.#each((table) => table.entries().forEach(([key, flow]) => this.#copy(key, flow, false)));
    this.#accelerated.copy();
  }

  /** Once the links have changed. */
  merge(): void {
    this.#each((table) => {
      for (const [key, flow] of table.entries()) {
        this.#copy(key, flow, true);
        table.delete(key);
      }
    });
    this.#accelerated.move();
    this.#deps.changed();
  }

  /** To be called when the pods are known: a moment later all is taken over, and `done` is called. */
  finish(pods: () => readonly PlacedPod[], done: () => void): void {
    const { clock, log } = this.#deps;
    this.#cancel = clock.after(settleMs, () => {
      this.#conclude(pods())
        .catch((thrown: unknown) =>
          log.error(
            { err: asMeshError(thrown) },
            'what the programs before knew could not all be taken over',
          ),
        )
        .finally(done)
        .finally(() => (this.#cancel = clock.after(readMs, () => this.#letGo())));
    });
  }

  /** Lets go of descriptors. What was not finished the next one does. */
  close(): void {
    this.#cancel();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#closeRings();
    this.#deps.earlier.close();
  }

  /** Of the programs before; of some records that both have, too. */
  recordOf(key: FlowKey): Flow | undefined {
    if (this.#isOver) return undefined;
    return this.#flows.flatMap((table) => table.get(key) ?? [])[0];
  }

  /** It found no room among the records, and is no stranger's. */
  isStray(key: FlowKey): boolean {
    return !this.#isOver && this.#deps.earlier.strays().some((table) => table.get(key) !== undefined);
  }

  forget(key: FlowKey): void {
    if (!this.#isOver) this.#flows.forEach((table) => table.delete(key));
  }

  records(): (readonly [FlowKey, Flow])[] {
    return this.#isOver ? [] : this.#flows.flatMap((table) => table.entries());
  }

  /** What the programs before tell of ends. */
  endedRings(): readonly EndedRing[] {
    if (!this.#isOver) this.#rings.push(...this.#deps.earlier.endedRings());
    return this.#rings;
  }

  /** Whether this end was told of already. */
  isTold(cookie: bigint): boolean {
    if (this.#isOver) return false;
    const told = this.#heard.has(cookie);
    this.#heard.add(cookie);
    return told;
  }

  #endKernelPath(): void {
    const config = this.#deps.earlier.config();
    const found = config?.get(0);
    if (found !== undefined) config?.change(0, { ...found, flags: { ...found.flags, kernelPath: false } });
  }

  /** One that cannot be read is worth nothing from now on. */
  #each(action: (table: EarlierFlows) => void): void {
    for (const table of this.#flows.slice()) {
      try {
        action(table);
      } catch (thrown) {
        this.#deps.log.error({ err: asMeshError(thrown) }, 'records of connections cannot be read');
        this.#isBlind = true;
        this.#flows.splice(this.#flows.indexOf(table), 1);
      }
    }
  }

  #copy(key: FlowKey, theirs: Flow, isLast: boolean): void {
    const { flows } = this.#deps;
    const ours = flows.get(key);
    const merged = isLast || ours !== undefined ? mergedFlow(ours, theirs) : theirs;
    try {
      if (ours === undefined) flows.add(key, merged);
      else if (!isSameFlow(ours, merged)) flows.replace(key, merged);
    } catch (thrown) {
      if (!(thrown instanceof MeshError && thrown.code === 'BPF_MAP_FULL')) throw thrown;
      if (theirs.origin.kind === 'kernel') this.#unfit.set(key, theirs);
    }
  }

  async #conclude(pods: readonly PlacedPod[]): Promise<void> {
    this.merge();
    const { native, flows, nodeNetns, log } = this.#deps;
    const proved = await proveFlows({ native, flows, nodeNetns, log }, pods);
    this.#accelerated.prune();
    this.#deps.changed();
    const ended = this.#isBlind
      ? await endUnknown({ native, log }, pods, proved.known)
      : await endUnknown({ native, log }, pods, proved.known, this.#unfit);
    const facts = { records: proved.known.size, removed: proved.removed, untold: proved.untold, ended };
    log.info(facts, 'took over what the programs before knew of connections');
  }

  #letGo(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#closeRings();
    this.#heard.clear();
    this.#deps.earlier.letGo();
  }

  #closeRings(): void {
    for (const { ring } of this.#rings.splice(0)) ring.close();
  }
}
