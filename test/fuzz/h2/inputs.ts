/** What the fuzz targets eat: valid conversations, mutations of them, and frames that are only nearly right. */
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  PADDED,
  PRIORITY,
  block,
  connect,
  connectFields,
  data,
  frame,
  headers,
  ok,
  preface,
  settings,
  uint32,
} from '../../unit/net/h2/support/wire.ts';
import type { Random } from '../random.ts';

export type Role = 'client' | 'server';

/** What a peer says first, so that inputs get past the door. */
export const greeting: Readonly<Record<Role, Buffer>> = {
  server: Buffer.concat([preface, settings(4, 100_000, 5, 20_000), frame('SETTINGS', ACK, 0)]),
  client: Buffer.concat([settings(3, 100, 4, 100_000), frame('SETTINGS', ACK, 0)]),
};

const huffmanConnect = Buffer.from('4207434f4e4e4543544188081702e05c371e07', 'hex');
const ping = frame('PING', 0, 0, Buffer.from('12345678'));
const goaway = frame('GOAWAY', 0, 0, uint32(3, 0));
const reset = (id: number): Buffer => frame('RST_STREAM', 0, id, uint32(8));
const window = (id: number, by: number): Buffer => frame('WINDOW_UPDATE', 0, id, uint32(by));
const padded = frame('DATA', PADDED, 1, Buffer.from('\x03abc\0\0\0', 'latin1'));
const end = END_HEADERS | END_STREAM;

/** Valid conversations of a peer; together they have every frame type and most sequences of them. */
const corpora: Readonly<Record<Role, readonly Buffer[]>> = {
  server: [
    [connect(1), data(1, 'hello'), data(1, 'bye', END_STREAM)],
    [connect(1), padded, window(1, 500), window(0, 500), reset(1), connect(3)],
    [connect(1, 0), frame('CONTINUATION', 0, 1), frame('CONTINUATION', END_HEADERS, 1), data(1, 'x')],
    [
      frame('HEADERS', END_HEADERS, 1, huffmanConnect),
      ping,
      settings(4, 10),
      data(1, 'x'),
      settings(4, 90_000),
    ],
    [
      frame(
        'HEADERS',
        END_HEADERS | PADDED | PRIORITY,
        1,
        Buffer.concat([Buffer.of(2, 0, 0, 0, 0, 9), block(connectFields), Buffer.alloc(2)]),
      ),
    ],
    [connect(1), connect(3), connect(5), data(3, 'a'), data(1, 'b'), reset(5), data(3, '', END_STREAM)],
    [connect(1), headers(1, [['trailer', 'x']], end), ping, goaway],
    [frame('PRIORITY', 0, 7, Buffer.alloc(5)), frame(0xbe, 0, 0, Buffer.from('grease')), connect(7, end)],
    [
      headers(
        1,
        [
          [':method', 'GET'],
          [':scheme', 'https'],
          [':path', '/'],
        ],
        end,
      ),
      connect(3),
    ],
  ].map((frames) => Buffer.concat(frames)),
  client: [
    [ok(1), data(1, 'hello'), data(1, 'bye', END_STREAM), ok(3), data(3, '', END_STREAM)],
    [headers(1, [[':status', '103']]), ok(1), padded, window(1, 500), window(0, 500), reset(1), ok(3)],
    [ok(1, 0), frame('CONTINUATION', END_HEADERS, 1), data(1, 'x'), headers(1, [['trailer', 'x']], end)],
    [headers(1, [[':status', '401']], end), reset(1), ok(3), settings(4, 5), ping, settings(4, 1 << 20)],
    [goaway, ok(1), data(1, 'last', END_STREAM), reset(3)],
    [
      frame('GOAWAY', 0, 0, Buffer.concat([uint32(1, 2), Buffer.from('why')])),
      ok(1),
      frame('PING', ACK, 0, Buffer.alloc(8)),
    ],
  ].map((frames) => Buffer.concat(frames)),
};

/** Bytes that mean something somewhere: flags, types, small ids, length and integer boundaries. */
const telling = [0x00, 0x01, 0x04, 0x05, 0x08, 0x20, 0x3f, 0x7f, 0x80, 0x82, 0xbe, 0xff];

type Mutation = (bytes: Buffer, random: Random) => Buffer;

const mutations: readonly Mutation[] = [
  (bytes, random) => change(bytes, random, (byte) => byte ^ (1 << random.below(8))),
  (bytes, random) => change(bytes, random, () => random.pick(telling)),
  (bytes, random) => change(bytes, random, () => random.below(256)),
  (bytes, random) => {
    const [from, to] = range(bytes, random);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  },
  (bytes, random) => {
    const [from, to] = range(bytes, random);
    return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from)]);
  },
  (bytes, random) => {
    const [from] = range(bytes, random);
    return Buffer.concat([bytes.subarray(0, from), random.bytes(random.below(12)), bytes.subarray(from)]);
  },
  (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
];

function change(bytes: Buffer, random: Random, to: (byte: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.below(copy.length + 1);
  copy[at] = to(copy[at] ?? 0);
  return copy;
}

function range(bytes: Buffer, random: Random): [number, number] {
  const from = random.below(bytes.length + 1);
  return [from, Math.min(bytes.length, from + random.below(30))];
}

export const conversation = (role: Role, random: Random): Buffer => random.pick(corpora[role]);

export function mutated(role: Role, random: Random): Buffer {
  let bytes = conversation(role, random);
  if (random.below(4) === 0) bytes = Buffer.concat([bytes, conversation(role, random)]);
  for (let left = random.below(4) + 1; left > 0; left--) bytes = random.pick(mutations)(bytes, random);
  return bytes;
}

/** A few frames whose parts are each plausible: right sizes mostly, streams that may exist, flags that may be legal. */
export function plausible(role: Role, random: Random): Buffer {
  const frames = Array.from({ length: random.below(12) + 1 }, () => plausibleFrame(role, random));
  return Buffer.concat(frames);
}

const flagChoices = [
  0,
  END_STREAM,
  END_HEADERS,
  end,
  PADDED,
  END_HEADERS | PADDED,
  END_HEADERS | PRIORITY,
  0xff,
];
const sizes = [4, 1, 5, 4, 6, 8, 8, 8, 4, 2];
const blocks = [
  block(connectFields),
  block([[':status', '200']]),
  huffmanConnect,
  block([['x', 'y']]),
  Buffer.of(0x88),
];

function plausibleFrame(role: Role, random: Random): Buffer {
  const type = random.below(11);
  const stream = random.below(5) === 0 ? 0 : random.below(8);
  const flags = random.pick(flagChoices);
  switch (random.below(5)) {
    case 0:
      return role === 'server' ? connect(stream) : ok(stream);
    case 1:
      return frame('HEADERS', flags, stream, random.pick(blocks));
    case 2:
      return data(stream, random.bytes(random.below(40)), flags & (END_STREAM | PADDED));
    case 3:
      return frame(type, flags, stream, random.bytes(sizes[type] ?? random.below(20)));
    default:
      return frame(type, 0, stream, uint32(random.below(1 << 20)).subarray(0, sizes[type]));
  }
}
