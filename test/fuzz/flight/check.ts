/** What must hold of a flight record, whatever is in it. */
import { MeshError } from '../../../src/base/errors.ts';
import { FlightFile } from '../../../src/telemetry/flight/flight-file.ts';
import { FlightReader, maxLineBytes, pairLine, RecordWriter } from '../../../src/telemetry/flight/format.ts';
import { node, pods } from './inputs.ts';

/** Longer ones are no lines of ours: whoever hands them over must not keep what there is of them. */
const maxHandedOver = 2 * 1024 * 1024;

/** Records and pairs. */
const maxFound = 64 * 1024;

class Checker {
  readonly #reader = new FlightReader(node, (uid) => pods.find((pod) => pod.uid === uid));
  #lines = 0;

  /** As the recorder does. */
  take(line: string): void {
    this.#lines += 1;
    if (line.length > maxHandedOver) throw new Error(`a line of ${line.length} characters`);
    const known = this.#found();
    const { damaged } = this.#reader;
    this.#reader.push(line.length > maxLineBytes ? '' : line);
    const isTaken = this.#reader.damaged === damaged;
    if (isTaken && !hasRightSum(line)) throw new Error('a line with a wrong checksum was taken');
    if (!isTaken && this.#found() !== known) throw new Error('a damaged line left something');
    if (this.#found() > maxFound) throw new Error('a line too many is remembered');
  }

  /** Whatever is taken can be written, and is then read as the same. */
  finish(): void {
    if (this.#found() + this.#reader.damaged > this.#lines) throw new Error('more than there were lines');
    // Of very many some: memory is measured, too.
    const [records, pairs] = [this.#reader.records.slice(-500), this.#reader.pairs.slice(-500)];
    const writer = new RecordWriter();
    const text = records.map((kept) => writer.lines(kept)).join('') + pairs.map(pairLine).join('');
    const again = new FlightReader(node, (uid) => pods.find((pod) => pod.uid === uid));
    text.split('\n').forEach((line) => {
      if (line !== '') again.push(line);
    });
    if (JSON.stringify([again.records, again.pairs]) !== JSON.stringify([records, pairs])) {
      throw new Error('what was taken is read differently once it is written');
    }
  }

  #found(): number {
    return this.#reader.records.length + this.#reader.pairs.length;
  }
}

export function checkText(bytes: Buffer): void {
  const checker = new Checker();
  bytes
    .toString('utf8')
    .split('\n')
    .forEach((line) => checker.take(line));
  checker.finish();
}

/** @throws for anything but lines, or the coded error */
export async function checkFile(path: string): Promise<'read' | 'refused'> {
  const checker = new Checker();
  try {
    await new FlightFile(path).read((line) => checker.take(line));
  } catch (error) {
    if (
      error instanceof MeshError &&
      error.code === 'SNAPSHOT' &&
      !(error.cause instanceof Error && isOurs(error.cause))
    ) {
      return 'refused';
    }
    throw error;
  }
  checker.finish();
  return 'read';
}

/** Thrown by the checker, and wrapped by what it checks. */
const isOurs = ({ message }: Error): boolean => /^(a line|a damaged)/.test(message);

/** CRC-32 as it is defined (ISO 3309), bit by bit: not by the library that the format uses. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function hasRightSum(line: string): boolean {
  const sum = Buffer.from(line.slice(9)).reduce(
    (crc, byte) => ((crc >>> 8) ^ Number(table[(crc ^ byte) & 0xff])) >>> 0,
    0xffffffff,
  );
  return line.slice(0, 8).toLowerCase() === ((sum ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
}
