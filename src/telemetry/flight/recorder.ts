/**
 * Keeps what the registry remembers, and the pairs, on disk as well, so that a node program's end does not take them
 * along. Written a quarter of a second at a time, of each pod only what the registry still has by then: the cost does not
 * grow with a flood of connections. The file is rewritten when it has grown past what there is to remember. A disk that
 * fails costs the record and nothing else.
 */
import type { Clock } from '../../base/clock.ts';
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Workload, WorkloadUid } from '../../model/mesh.ts';
import type { ConnectionRegistry, KeptRecord } from '../connection-registry.ts';
import type { FlightFile } from './flight-file.ts';
import { FlightReader, headerLine, maxLineBytes, pairLine, RecordWriter } from './format.ts';
import type { Pair, PairTable } from './pairs.ts';

/** A program that is killed loses this much of the connections … */
const writeEveryMs = 250;
/** … and this much of the counts. */
const pairsEveryMs = 5_000;
/** Of good ones, and of others, the last; so a thousand of each a second at most. Rewriting makes up for the rest. */
const recordsPerWrite = 256;
const retryMs = 60_000;
/** Twice what a full memory takes, about. */
const rewriteAtBytes = 8 * 1024 * 1024;
/** Made to text at a time, in between of which others have their turn. */
const itemsPerPiece = 128;

export interface FlightRecorderDeps {
  readonly file: FlightFile;
  readonly registry: ConnectionRegistry;
  readonly pairs: PairTable;
  readonly clock: Clock;
  readonly log: Logger;
  readonly node: string;
}

export interface Restored {
  readonly records: number;
  readonly pairs: number;
  /** Lines that could not be read; one is usual after a kill. */
  readonly damaged: number;
}

export class FlightRecorder {
  readonly #deps: FlightRecorderDeps;
  #writer = new RecordWriter();
  /** Sequence of the last record in the file. */
  #written = 0;
  #pairsWrittenAt = -Infinity;
  /** Whether the file can be added to. */
  #isFileGood = false;
  /** When there is something to write. */
  readonly #next = new Map<'records' | 'pairs', () => void>();
  #work: Promise<void> = Promise.resolve();
  #isClosed = false;
  #lastFailure: string | undefined;

  constructor(deps: FlightRecorderDeps) {
    this.#deps = deps;
  }

  /** Takes over what an earlier program left, and makes the file anew. Never throws: what is lost is said in the log. */
  async start(currentPod: (uid: WorkloadUid) => Workload | undefined): Promise<Restored> {
    const { file, registry, pairs, log, node } = this.#deps;
    const reader = new FlightReader(node, currentPod);
    try {
      await file.read((line) => reader.push(line.length > maxLineBytes ? '' : line));
    } catch (thrown) {
      log.warn({ code: 'SNAPSHOT' }, asMeshError(thrown).message);
    }
    const found = reader.isOwn ? reader : new FlightReader(node, currentPod);
    registry.restore(found.records);
    found.pairs.forEach((pair) => pairs.restore(pair));
    await this.#enqueue(() => this.#rewrite());
    registry.onRecord(() => this.#schedule('records', writeEveryMs));
    const restored = { records: registry.keptCount, pairs: pairs.all().length, damaged: reader.damaged };
    if (restored.records + restored.damaged > 0) log.info({ ...restored }, 'took over the flight record');
    return restored;
  }

  /** Writes what is left to write, and nothing after that. */
  async close(): Promise<void> {
    if (this.#isClosed) return await this.#work;
    this.#isClosed = true;
    this.#next.forEach((cancel) => cancel());
    await this.#enqueue(() => this.#append(true));
    await this.#deps.file.close();
  }

  #schedule(what: 'records' | 'pairs', delayMs: number): void {
    if (this.#next.has(what) || this.#isClosed) return;
    const write = (): void => {
      this.#next.delete(what);
      void this.#enqueue(() => this.#write());
    };
    this.#next.set(what, this.#deps.clock.after(delayMs, write));
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(work).then(
      () => this.#succeeded(),
      (thrown: unknown) => this.#failed(asMeshError(thrown).message),
    );
    return this.#work;
  }

  async #write(): Promise<void> {
    if (this.#isFileGood && this.#deps.file.size < rewriteAtBytes) await this.#append(false);
    else await this.#rewrite();
  }

  async #append(isLast: boolean): Promise<void> {
    if (!this.#isFileGood) return;
    const { file, clock } = this.#deps;
    const { text, last } = this.#news();
    const isPairsTurn = isLast || clock.now() - this.#pairsWrittenAt >= pairsEveryMs;
    const pairs = isPairsTurn ? this.#changedPairs() : '';
    if (text + pairs === '') return;
    await file.append(text + pairs);
    this.#written = last;
    // Counts that wait for their turn have to be written though no connection follows.
    if (!isPairsTurn) this.#schedule('pairs', pairsEveryMs);
  }

  #news(): { readonly text: string; readonly last: number } {
    const { records, last } = this.#deps.registry.recent({ after: this.#written });
    const [good, bad] = [records.filter(isGood), records.filter((kept) => !isGood(kept))];
    const chosen = [...good.slice(-recordsPerWrite), ...bad.slice(-recordsPerWrite)];
    return { text: chosen.map((kept) => this.#writer.lines(kept)).join(''), last };
  }

  #changedPairs(): string {
    this.#pairsWrittenAt = this.#deps.clock.now();
    return this.#deps.pairs.takeChanged().map(pairLine).join('');
  }

  async #rewrite(): Promise<void> {
    const { file, registry, pairs, node } = this.#deps;
    this.#writer = new RecordWriter();
    const { records, last } = registry.recent();
    const all = pairs.all();
    pairs.takeChanged();
    await file.rewrite(pieces(headerLine(node), records, this.#writer, all));
    this.#written = last;
    this.#pairsWrittenAt = this.#deps.clock.now();
    this.#isFileGood = true;
  }

  #succeeded(): void {
    if (this.#lastFailure !== undefined) this.#deps.log.info({}, 'the flight record is written again');
    this.#lastFailure = undefined;
  }

  #failed(message: string): void {
    this.#isFileGood = false;
    if (this.#lastFailure !== message) this.#deps.log.warn({ code: 'SNAPSHOT' }, message);
    this.#lastFailure = message;
    this.#schedule('records', retryMs);
  }
}

const isGood = ({ record }: KeptRecord): boolean => record.error === undefined;

/** Made as they are written, so that a full memory does not hold others up. */
function* pieces(
  header: string,
  records: readonly KeptRecord[],
  writer: RecordWriter,
  pairs: readonly Pair[],
): Generator<string> {
  yield header;
  yield* inPieces(records, (kept) => writer.lines(kept));
  yield* inPieces(pairs, pairLine);
}

function* inPieces<T>(items: readonly T[], text: (item: T) => string): Generator<string> {
  for (let i = 0; i < items.length; i += itemsPerPiece) {
    yield items
      .slice(i, i + itemsPerPiece)
      .map(text)
      .join('');
  }
}
