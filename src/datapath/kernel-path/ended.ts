/** Kernel-path connections that ended, as the programs tell of them: records of the `ended` ring. */
import type { Clock } from '../../base/clock.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { RingBuffer } from '../../native/binding.ts';
import { encodeAll, recordsIn, startsOf, viewOf } from '../abi/field.ts';
import { type Ended, ended } from '../abi/layout.ts';
import { cookieAt, EndedBatch } from './ended-batch.ts';

/** What ends meanwhile is read together: to wake up for each connection costs more than to tell of it. */
const restMs = 100;
/** As many as are handed over at once (`records_per_turn` of the addon): there are more, and no time for a rest. */
const fullTurn = 1024;

/** Hands on every record until it is stopped, what is there by then included. */
export function followEnded(
  deps: {
    readonly ring: RingBuffer;
    /** Of programs of another version that were in force; closed by whoever opened them. */
    readonly earlierRings?: readonly {
      readonly ring: Pick<RingBuffer, 'start'>;
      readonly read: (record: Uint8Array) => Ended | undefined;
    }[];
    /** Whether this end was told of already, by other programs. */
    readonly isTold?: ((cookie: bigint) => boolean) | undefined;
    readonly uidOf: (podId: number) => WorkloadUid | undefined;
    /** Nanoseconds of the monotonic clock, as the kernel's. */
    readonly monotonicNs: () => bigint;
    readonly clock: Pick<Clock, 'after'>;
  },
  heard: (batch: EndedBatch) => void,
): () => void {
  const { ring, clock, isTold, uidOf } = deps;
  const hear = (bytes: Uint8Array, ends: Uint32Array): void => {
    const records = viewOf(bytes);
    const starts = startsOf(ended, ends);
    const news = isTold === undefined ? starts : starts.filter((start) => !isTold(cookieAt(records, start)));
    heard(new EndedBatch(records, news, { nowNs: Number(deps.monotonicNs()), uidOf }));
  };
  let cancelRest: (() => void) | undefined;
  const rest = (): void => {
    ring.pause();
    cancelRest = clock.after(restMs, () => ring.resume());
  };
  ring.start((bytes, ends) => {
    if (ends.length < fullTurn) rest();
    hear(bytes, ends);
  });
  for (const earlier of deps.earlierRings ?? []) {
    earlier.ring.start((bytes, ends) => hear(...translated(recordsIn(bytes, ends), earlier.read)));
  }
  return () => {
    ring.drain();
    cancelRest?.();
    ring.close();
  };
}

/** Records of another version as ours would be; without those that cannot be. */
function translated(
  records: readonly Uint8Array[],
  read: (record: Uint8Array) => Ended | undefined,
): [Uint8Array, Uint32Array] {
  const readable = records.map(read).filter((record) => record !== undefined);
  return [encodeAll(ended, readable), Uint32Array.from(readable, (_, i) => (i + 1) * ended.sizeBytes)];
}
