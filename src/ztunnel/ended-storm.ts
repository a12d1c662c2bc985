/**
 * Ended connections, told one by one as long as there are not too many: of a storm, those of a pair are told together.
 * A pod that opens ten thousand connections a second would else keep a core busy with lines that nobody reads, and push
 * all others' out of the node's memory. Nothing is lost by it but which port each of them had: bytes and counts are sums.
 */
import type { Clock } from '../base/clock.ts';
import type { EndedConnection } from '../datapath/kernel-path/ended.ts';

/** Of the last one of them, with the sums of all and the longest of times. */
export interface ToldConnection extends EndedConnection {
  /** How many it stands for. */
  readonly connections: number;
}

const windowMs = 100;
/** Of each window, the first so many have a record of their own: about two hundred and fifty a second. */
const oneByOnePerWindow = 25;

export class EndedStorm {
  readonly #clock: Pick<Clock, 'now'>;
  #windowBegan = -Infinity;
  #oneByOneLeft = 0;

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /**
   * @param connections those that were read together, the first one first
   * @param tell the first ones as they come, the others' sums at the end
   */
  fold(connections: Iterable<EndedConnection>, tell: (told: ToldConnection) => void): void {
    this.#enterWindow();
    const sums = new Sums();
    for (const connection of connections) {
      if (this.#oneByOneLeft > 0) tell({ ...connection, connections: 1 });
      else sums.add(connection);
      this.#oneByOneLeft -= 1;
    }
    for (const sum of sums.all()) tell(sum);
  }

  /** A clock that was set back begins one, too. */
  #enterWindow(): void {
    const passedMs = this.#clock.now() - this.#windowBegan;
    if (passedMs >= 0 && passedMs < windowMs) return;
    this.#windowBegan = this.#clock.now();
    this.#oneByOneLeft = oneByOnePerWindow;
  }
}

type Sum = { -readonly [Name in keyof ToldConnection]: ToldConnection[Name] };

/** Of connections of a pair. */
class Sums {
  readonly #sums = new Map<string, Sum>();

  add(connection: EndedConnection): void {
    const key = pairOf(connection);
    const sum = this.#sums.get(key);
    if (sum === undefined) this.#sums.set(key, { ...connection, connections: 1 });
    else add(sum, connection);
  }

  all(): Iterable<ToldConnection> {
    return this.#sums.values();
  }
}

/** All but the port that the kernel chose for the source. */
const pairOf = ({ source, sourceUid, destination, dialled }: EndedConnection): string =>
  `${sourceUid} ${source.ip} ${destination.ip} ${destination.port} ${dialled?.ip} ${dialled?.port}`;

function add(sum: Sum, last: EndedConnection): void {
  sum.connections += 1;
  sum.source = last.source;
  sum.cookie = last.cookie;
  sum.ageMs = last.ageMs;
  sum.durationMs = Math.max(sum.durationMs, last.durationMs);
  sum.bytesSent += last.bytesSent;
  sum.bytesReceived += last.bytesReceived;
  sum.rttMs = longest(sum.rttMs, last.rttMs);
  sum.retransmits += last.retransmits;
  sum.accelerated ||= last.accelerated;
}

const longest = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
