/** The decoders by themselves. */
import { FrameDecoder } from '../../../src/net/h2/decode.ts';
import { H2Violation } from '../../../src/net/h2/errors.ts';
import type { FrameSink } from '../../../src/net/h2/frame.ts';
import { HpackDecoder } from '../../../src/net/h2/hpack/decode.ts';
import { fieldSize } from '../../../src/net/h2/hpack/dynamic-table.ts';
import { block, connectFields } from '../../unit/net/h2/support/wire.ts';
import { greeting, mutated, plausible } from './inputs.ts';
import type { Random } from '../random.ts';

/** Everything the decoder told, in one string that does not depend on how payload was cut. */
class Listener implements FrameSink {
  told = '';
  dataBegin = (stream: number, length: number, end: boolean): void => this.#tell('D', stream, length, end);
  data = (bytes: Uint8Array): void => {
    this.told += Buffer.from(bytes).toString('latin1');
  };
  dataEnd = (): void => this.#tell('.');
  headers = (stream: number, bytes: Uint8Array, end: boolean): void =>
    this.#tell('H', stream, Buffer.from(bytes).toString('latin1'), end);
  rstStream = (stream: number, code: number): void => this.#tell('R', stream, code);
  settings = (entries: Uint8Array): void => this.#tell('S', Buffer.from(entries).toString('latin1'));
  settingsAck = (): void => this.#tell('s');
  ping = (opaque: Uint8Array, ack: boolean): void =>
    this.#tell('P', Buffer.from(opaque).toString('latin1'), ack);
  goaway = (last: number, code: number): void => this.#tell('G', last, code);
  windowUpdate = (stream: number, increment: number): void => this.#tell('W', stream, increment);
  ignored = (type: number): void => this.#tell('I', type);

  #tell(...parts: readonly unknown[]): void {
    this.told += `${parts.join(' ')}\n`;
  }
}

function decode(bytes: Buffer, next: (at: number) => number): string {
  const listener = new Listener();
  const decoder = new FrameDecoder(listener, {
    maxFrameSize: 16_384,
    expectPreface: true,
    maxHeaderBlockBytes: 1000,
    maxContinuations: 4,
  });
  try {
    for (let at = 0; at < bytes.length; at = next(at)) decoder.write(bytes.subarray(at, next(at)));
  } catch (thrown) {
    if (!(thrown instanceof H2Violation)) throw thrown;
    listener.told += thrown.message;
  }
  return listener.told;
}

/** Any bytes decode to the same in one piece and in pieces. */
export function checkDecoder(random: Random): void {
  const input = random.below(2) === 0 ? mutated('server', random) : plausible('server', random);
  const bytes = Buffer.concat([greeting.server, input]);
  const step = random.below(30) + 1;
  const whole = decode(bytes, () => bytes.length);
  if (whole === decode(bytes, (at) => at + step)) return;
  throw new Error(`cut into ${step}: ${bytes.toString('hex')}`);
}

/** Field representations with random parts, so that tables fill and are referred to. */
function headerBlock(random: Random): Buffer {
  const parts = Array.from({ length: random.below(6) + 1 }, () => {
    switch (random.below(5)) {
      case 0:
        return Buffer.of(0x80 | random.below(80));
      case 1:
        return Buffer.concat([Buffer.of(0x40, 3), random.bytes(3), Buffer.of(5), random.bytes(5)]);
      case 2:
        return Buffer.concat([Buffer.of(0x0f, random.below(60), 0x80 | 4), random.bytes(4)]);
      case 3:
        return block(connectFields);
      default:
        return random.bytes(random.below(8));
    }
  });
  return Buffer.concat(parts);
}

/** The decoder either understands a block or calls it a compression error, and keeps to its limit. */
export function checkHpack(random: Random): void {
  const decoder = new HpackDecoder();
  const limit = random.below(400);
  for (let blocks = random.below(4) + 1; blocks > 0; blocks--) {
    try {
      const fields = decoder.decode(headerBlock(random), limit) ?? [];
      const size = fields.reduce((sum, [name, value]) => sum + fieldSize(name, value), 0);
      if (size > limit) throw new Error(`${size} bytes of fields, ${limit} allowed`);
    } catch (thrown) {
      if (thrown instanceof H2Violation && thrown.message.startsWith('COMPRESSION_ERROR')) return;
      throw thrown;
    }
  }
}
