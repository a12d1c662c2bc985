/**
 * Leaves with the kernel, before anybody dials, what ztunnel would answer about likely pairs: else the first connection of
 * a pair, and all that are opened before it is answered, would stay with ztunnel as long as a client keeps them.
 *
 * An answer is made as for a connection that is there, of one version of the mesh and the generation that is in force
 * with it, so it is outdated by a change like any other. Takes a tenth of a processor at most, however fast changes follow
 * each other; who dials meanwhile is asked about as ever.
 */
import { asMeshError } from '../base/errors.ts';
import type { Clock } from '../base/clock.ts';
import type { Port } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { KernelPath } from '../datapath/kernel-path/kernel-path.ts';
import type { MeshReader, MeshView } from '../model/view.ts';
import type { Authorizer } from './authorize.ts';
import { isRefusal, type Step } from './facts.ts';
import { inboundSteps } from './inbound.ts';
import { type LikelyPair, likelyPairs, mayChangePairs, type PairPod } from './likely-pairs.ts';
import { localFacts } from './local.ts';

export interface VerdictPrefetchDeps {
  readonly mesh: MeshReader;
  readonly authorizer: Authorizer;
  readonly kernelPath: Pick<KernelPath, 'scope' | 'generation' | 'allow'>;
  /** Those that are enrolled at this moment. */
  readonly pods: () => readonly PairPod[];
  /** Answers of one generation; the kernel's memory of verdicts must have room for others besides. */
  readonly limit: number;
  readonly clock: Clock;
  readonly monotonicNs: () => bigint;
  readonly log: Logger;
}

/** Milliseconds that connections may have to wait for it. */
const sliceMs = 1;
const pairsBetweenLooks = 32;
/** After each millisecond of work. */
const restMs = 9;
/** No client has it: policies do not ask for the port of who dials. */
const anyPort = 0 as Port;

export class VerdictPrefetch {
  readonly #deps: VerdictPrefetchDeps;
  readonly #inbound: Step;
  readonly #unsubscribe: () => void;
  /** What is answered, yes or no, in this generation. */
  readonly #answered = new Set<string>();
  #generation = -1n;
  /** Undefined: to be looked for anew. */
  #pairs: Iterator<LikelyPair> | undefined;
  #cancel: (() => void) | undefined;

  /** To be made after whoever takes verdicts back. */
  constructor(deps: VerdictPrefetchDeps) {
    this.#deps = deps;
    this.#inbound = inboundSteps(deps.authorizer);
    this.#unsubscribe = deps.mesh.subscribe((view, diff) => {
      const { scope } = deps.kernelPath;
      if (scope !== undefined && mayChangePairs(view, diff, scope)) this.refresh();
    });
  }

  /** Something has changed: at once, if it has not worked lately. */
  refresh(): void {
    this.#pairs = undefined;
    if (this.#cancel === undefined) this.#work();
  }

  stop(): void {
    this.#unsubscribe();
    this.#cancel?.();
  }

  #work(): void {
    const { clock, monotonicNs, log } = this.#deps;
    const begun = monotonicNs();
    const spentMs = (): number => Number(monotonicNs() - begun) / 1e6;
    let isDone = true;
    try {
      isDone = this.#answerUntil(() => spentMs() > sliceMs);
    } catch (thrown) {
      log.debug(
        { err: asMeshError(thrown) },
        'verdicts are not made before they are asked for, until the next change',
      );
    }
    // Also when it is done: what changes meanwhile waits.
    this.#cancel = clock.after(Math.max(1, spentMs() * restMs), () => {
      this.#cancel = undefined;
      if (!isDone || this.#pairs === undefined) this.#work();
    });
  }

  /** @returns whether all are answered */
  #answerUntil(isTime: () => boolean): boolean {
    const { kernelPath, mesh, pods, limit } = this.#deps;
    const { scope, generation } = kernelPath;
    if (scope === undefined) return true;
    if (generation !== this.#generation) this.#answered.clear();
    this.#generation = generation;
    this.#pairs ??= likelyPairs(mesh.view, pods(), scope);
    for (let looked = 1; this.#answered.size < limit; looked++) {
      const { value, done } = this.#pairs.next() as IteratorResult<LikelyPair, undefined>;
      if (done === true) return true;
      this.#answer(mesh.view, value, generation);
      if (looked % pairsBetweenLooks === 0 && isTime()) return false;
    }
    return true;
  }

  #answer(view: MeshView, pair: LikelyPair, generation: bigint): void {
    const key = keyOf(pair);
    if (this.#answered.has(key)) return;
    this.#answered.add(key);
    const { source, destination } = pair;
    const client = { ip: pair.sourceIp, port: anyPort };
    const local = { ip: pair.destinationIp, port: pair.port };
    const workload = view.workloads.get(destination.uid);
    if (workload === undefined) return;
    const dialler = { type: 'pod', uid: source.uid, podId: source.podId, dialled: undefined } as const;
    const facts = localFacts(view, { client, local, pod: workload }, dialler);
    if (isRefusal(facts) || isRefusal(this.#inbound(facts))) return;
    this.#deps.kernelPath.allow(source.podId, client, local, destination.uid, generation);
  }
}

const keyOf = ({ source, sourceIp, destination, destinationIp, port }: LikelyPair): string =>
  `${source.podId} ${sourceIp} ${destination.podId} ${destinationIp} ${port}`;
