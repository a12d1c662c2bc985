/** Everything a peer can do wrong, and the error code RFC 9113 asks for. */
import { describe, expect, it } from '@jest/globals';
import type { H2SessionOptions } from '../../../../src/net/h2/contract.ts';
import { endpoint, handshaken, stream } from './support/endpoint.ts';
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  PADDED,
  type CodeName,
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
} from './support/wire.ts';

type Row = readonly [what: string, frames: readonly Buffer[], code: CodeName, meshCode?: string];

const big = 2 ** 31 - 1;

const endsConnection: readonly Row[] = [
  ['DATA on stream 0', [data(0, 'x')], 'PROTOCOL_ERROR'],
  ['DATA on an idle stream', [data(5, 'x')], 'PROTOCOL_ERROR'],
  ['DATA on a stream of the other side', [connect(1), data(2, 'x')], 'PROTOCOL_ERROR'],
  [
    'DATA with padding as long as the payload',
    [connect(1), frame('DATA', PADDED, 1, Buffer.of(4, 1, 2, 3))],
    'PROTOCOL_ERROR',
  ],
  ['DATA flagged as padded but empty', [connect(1), frame('DATA', PADDED, 1)], 'PROTOCOL_ERROR'],
  [
    'DATA larger than the frame size we advertised',
    [connect(1), frame('DATA', 0, 1, Buffer.alloc(16_385))],
    'FRAME_SIZE_ERROR',
  ],
  [
    'an unknown frame larger than the frame size we advertised',
    [frame(0xee, 0, 0, Buffer.alloc(16_385))],
    'FRAME_SIZE_ERROR',
  ],
  ['HEADERS on stream 0', [connect(0)], 'PROTOCOL_ERROR'],
  ['HEADERS on an even stream', [connect(2)], 'PROTOCOL_ERROR'],
  ['HEADERS on a lower stream than the last', [connect(5), connect(3)], 'STREAM_CLOSED'],
  [
    'HEADERS shorter than its padding',
    [frame('HEADERS', END_HEADERS | PADDED, 1, Buffer.of(3, 1, 2))],
    'PROTOCOL_ERROR',
  ],
  [
    'HEADERS with a priority cut short',
    [frame('HEADERS', END_HEADERS | 0x20, 1, Buffer.of(0, 0, 0))],
    'PROTOCOL_ERROR',
  ],
  [
    'HEADERS that name no table entry',
    [frame('HEADERS', END_HEADERS, 1, Buffer.of(0xbe + 10))],
    'COMPRESSION_ERROR',
  ],
  [
    'HEADERS that end inside a field',
    [frame('HEADERS', END_HEADERS, 1, Buffer.of(0x00, 0x05, 0x61))],
    'COMPRESSION_ERROR',
  ],
  [
    'a dynamic table larger than ours',
    [frame('HEADERS', END_HEADERS, 1, Buffer.of(0x3f, 0xe2, 0x1f))],
    'COMPRESSION_ERROR',
  ],
  [
    'a table size update after a field',
    [frame('HEADERS', END_HEADERS, 1, Buffer.of(0x82, 0x20))],
    'COMPRESSION_ERROR',
  ],
  ['PRIORITY on stream 0', [frame('PRIORITY', 0, 0, Buffer.alloc(5))], 'PROTOCOL_ERROR'],
  ['PRIORITY of 4 bytes', [frame('PRIORITY', 0, 1, Buffer.alloc(4))], 'FRAME_SIZE_ERROR'],
  ['RST_STREAM on stream 0', [frame('RST_STREAM', 0, 0, uint32(8))], 'PROTOCOL_ERROR'],
  ['RST_STREAM on an idle stream', [frame('RST_STREAM', 0, 1, uint32(8))], 'PROTOCOL_ERROR'],
  ['RST_STREAM of 3 bytes', [connect(1), frame('RST_STREAM', 0, 1, Buffer.alloc(3))], 'FRAME_SIZE_ERROR'],
  ['SETTINGS on a stream', [frame('SETTINGS', 0, 1)], 'PROTOCOL_ERROR'],
  ['SETTINGS of 5 bytes', [frame('SETTINGS', 0, 0, Buffer.alloc(5))], 'FRAME_SIZE_ERROR'],
  [
    'an acknowledgement of SETTINGS with a payload',
    [frame('SETTINGS', ACK, 0, Buffer.alloc(6))],
    'FRAME_SIZE_ERROR',
  ],
  ['ENABLE_PUSH of 2', [settings(2, 2)], 'PROTOCOL_ERROR'],
  ['INITIAL_WINDOW_SIZE of 2^31', [settings(4, 2 ** 31)], 'FLOW_CONTROL_ERROR', 'H2_FLOW_CONTROL'],
  [
    'INITIAL_WINDOW_SIZE that overflows an open stream',
    [connect(1), frame('WINDOW_UPDATE', 0, 1, uint32(big - 65_535)), settings(4, 65_536)],
    'FLOW_CONTROL_ERROR',
    'H2_FLOW_CONTROL',
  ],
  ['MAX_FRAME_SIZE of 16383', [settings(5, 16_383)], 'PROTOCOL_ERROR'],
  ['MAX_FRAME_SIZE of 2^24', [settings(5, 2 ** 24)], 'PROTOCOL_ERROR'],
  ['PUSH_PROMISE', [connect(1), frame('PUSH_PROMISE', END_HEADERS, 1, uint32(2))], 'PROTOCOL_ERROR'],
  ['PING on a stream', [frame('PING', 0, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
  ['PING of 7 bytes', [frame('PING', 0, 0, Buffer.alloc(7))], 'FRAME_SIZE_ERROR'],
  ['GOAWAY on a stream', [frame('GOAWAY', 0, 1, uint32(0, 0))], 'PROTOCOL_ERROR'],
  ['GOAWAY of 7 bytes', [frame('GOAWAY', 0, 0, Buffer.alloc(7))], 'FRAME_SIZE_ERROR'],
  ['WINDOW_UPDATE of 3 bytes', [frame('WINDOW_UPDATE', 0, 0, Buffer.alloc(3))], 'FRAME_SIZE_ERROR'],
  ['WINDOW_UPDATE of 0 for the connection', [frame('WINDOW_UPDATE', 0, 0, uint32(0))], 'PROTOCOL_ERROR'],
  ['WINDOW_UPDATE on an idle stream', [frame('WINDOW_UPDATE', 0, 7, uint32(1))], 'PROTOCOL_ERROR'],
  [
    'a connection window beyond 2^31-1',
    [frame('WINDOW_UPDATE', 0, 0, uint32(big))],
    'FLOW_CONTROL_ERROR',
    'H2_FLOW_CONTROL',
  ],
  ['CONTINUATION without HEADERS', [frame('CONTINUATION', END_HEADERS, 1)], 'PROTOCOL_ERROR'],
  [
    'CONTINUATION after the block has ended',
    [connect(1), frame('CONTINUATION', END_HEADERS, 1)],
    'PROTOCOL_ERROR',
  ],
  ['CONTINUATION on stream 0', [connect(1, 0), frame('CONTINUATION', END_HEADERS, 0)], 'PROTOCOL_ERROR'],
  [
    'CONTINUATION of another stream',
    [connect(1, 0), frame('CONTINUATION', END_HEADERS, 3)],
    'PROTOCOL_ERROR',
  ],
  ['HEADERS inside a header block', [connect(1, 0), connect(3)], 'PROTOCOL_ERROR'],
  ['DATA inside a header block', [connect(1, 0), data(1, 'x')], 'PROTOCOL_ERROR'],
  ['PING inside a header block', [connect(1, 0), frame('PING', 0, 0, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
  ['an unknown frame inside a header block', [connect(1, 0), frame(0xee, 0, 1)], 'PROTOCOL_ERROR'],
  [
    'a header block of too many bytes',
    [connect(1, 0), ...Array.from({ length: 9 }, () => frame('CONTINUATION', 0, 1, Buffer.alloc(16_384)))],
    'ENHANCE_YOUR_CALM',
    'H2_LIMIT',
  ],
  [
    'a header block of too many frames',
    [connect(1, 0), ...Array.from({ length: 33 }, () => frame('CONTINUATION', 0, 1))],
    'ENHANCE_YOUR_CALM',
    'H2_LIMIT',
  ],
  [
    'SETTINGS with a thousand entries',
    [frame('SETTINGS', 0, 0, Buffer.alloc(6000))],
    'ENHANCE_YOUR_CALM',
    'H2_LIMIT',
  ],
  [
    'GOAWAY with a larger last stream than before',
    [connect(1), frame('GOAWAY', 0, 0, uint32(0, 0)), frame('GOAWAY', 0, 0, uint32(2, 0))],
    'PROTOCOL_ERROR',
  ],
  [
    'HEADERS on a closed stream',
    [connect(1), frame('RST_STREAM', 0, 1, uint32(8)), connect(1)],
    'STREAM_CLOSED',
  ],
  [
    'DATA on a closed stream',
    [connect(1), frame('RST_STREAM', 0, 1, uint32(8)), data(1, 'x')],
    'STREAM_CLOSED',
  ],
];

const endsStream: readonly Row[] = [
  ['DATA after END_STREAM', [connect(1), data(1, 'x', END_STREAM), data(1, 'y')], 'STREAM_CLOSED'],
  ['HEADERS after END_STREAM', [connect(1, END_HEADERS | END_STREAM), connect(1)], 'STREAM_CLOSED'],
  ['HEADERS in the middle of a stream', [connect(1), headers(1, [['x', 'y']])], 'PROTOCOL_ERROR'],
  ['trailers with a pseudo-field', [connect(1), connect(1, END_HEADERS | END_STREAM)], 'PROTOCOL_ERROR'],
  ['WINDOW_UPDATE of 0', [connect(1), frame('WINDOW_UPDATE', 0, 1, uint32(0))], 'PROTOCOL_ERROR'],
  [
    'a stream window beyond 2^31-1',
    [connect(1), frame('WINDOW_UPDATE', 0, 1, uint32(big))],
    'FLOW_CONTROL_ERROR',
    'H2_FLOW_CONTROL',
  ],
  [
    'DATA beyond the stream window',
    [connect(1), ...Array.from({ length: 5 }, () => data(1, Buffer.alloc(16_384)))],
    'FLOW_CONTROL_ERROR',
    'H2_FLOW_CONTROL',
  ],
];

const request = (fields: readonly (readonly [string, string])[]): Buffer[] => [headers(1, fields)];
const malformedRequests: readonly (readonly [what: string, frames: readonly Buffer[]])[] = [
  ['no :method', request([[':authority', 'a:1']])],
  [
    'an empty :method',
    request([
      [':method', ''],
      [':scheme', 'https'],
      [':path', '/'],
    ]),
  ],
  ['CONNECT without :authority', request([[':method', 'CONNECT']])],
  ['CONNECT with :scheme', request([...connectFields, [':scheme', 'https']])],
  ['CONNECT with :path', request([...connectFields, [':path', '/']])],
  [
    'CONNECT with :protocol, which we did not enable',
    request([...connectFields, [':protocol', 'websocket']]),
  ],
  [
    'GET without :path',
    request([
      [':method', 'GET'],
      [':scheme', 'https'],
    ]),
  ],
  [':status in a request', request([...connectFields, [':status', '200']])],
  ['the same pseudo-field twice', request([...connectFields, [':authority', 'b:2']])],
  [
    'a pseudo-field after a regular one',
    request([
      [':method', 'CONNECT'],
      ['x', 'y'],
      [':authority', 'a:1'],
    ]),
  ],
  ['a capital in a field name', request([...connectFields, ['Baggage', 'x']])],
  ['a space in a field name', request([...connectFields, ['bag gage', 'x']])],
  ['an empty field name', request([...connectFields, ['', 'x']])],
  ['a colon inside a field name', request([...connectFields, ['a:b', 'x']])],
  ['a newline in a value', request([...connectFields, ['x', 'a\nb']])],
  ['a carriage return in a value', request([...connectFields, ['x', 'a\rb']])],
  ['a NUL in a value', request([...connectFields, ['x', 'a\0b']])],
  ['a value that begins with a space', request([...connectFields, ['x', ' a']])],
  ['a value that ends with a tab', request([...connectFields, ['x', 'a\t']])],
  ['a connection field', request([...connectFields, ['connection', 'close']])],
  ['a transfer-encoding field', request([...connectFields, ['transfer-encoding', 'chunked']])],
  ['te other than trailers', request([...connectFields, ['te', 'gzip']])],
];

/** Windows and frames at RFC 9113's initial sizes, so that violating them takes few bytes. */
const small: H2SessionOptions = {
  role: 'server',
  settings: { streamWindow: 65_535, connectionWindow: 1 << 20, maxFrameSize: 16_384 },
};

describe('a server whose peer breaks the connection', () => {
  it.each(endsConnection)('answers %s with GOAWAY', (_what, frames, code, meshCode = 'H2_PROTOCOL') => {
    const server = handshaken(small);
    for (const bytes of frames) server.session.receive(bytes);
    expect(server.frames().at(-1)).toMatch(new RegExp(`^GOAWAY \\d+ ${code}$`));
    expect(server.closedWith()?.code).toBe(meshCode);
    expect(server.session.closed).toBe(true);
  });

  it('resets every open stream, then closes', () => {
    const server = handshaken(small);
    for (const bytes of [connect(1), connect(3), connect(5, END_HEADERS | END_STREAM), data(0, 'x')]) {
      server.session.receive(bytes);
    }
    expect(server.events.slice(3)).toEqual([
      'reset 1 CANCEL H2_PROTOCOL',
      'reset 3 CANCEL H2_PROTOCOL',
      'reset 5 CANCEL H2_PROTOCOL',
      'closed H2_PROTOCOL',
    ]);
    expect(server.session.openStreams).toBe(0);
  });

  it('says nothing more after the connection is broken', () => {
    const server = handshaken(small);
    server.session.receive(Buffer.concat([data(0, 'x'), connect(1)]));
    server.session.receive(connect(3));
    expect(server.events).toEqual(['closed H2_PROTOCOL']);
  });
});

describe('a server whose peer breaks one stream', () => {
  it.each(endsStream)('answers %s with RST_STREAM', (_what, frames, code, meshCode = 'H2_PROTOCOL') => {
    const server = handshaken(small);
    for (const bytes of frames) server.session.receive(bytes);
    expect(server.frames()).toContain(`RST_STREAM 1 ${code}`);
    expect(server.events.at(-1)).toBe(`reset 1 ${code} ${meshCode}`);
  });

  it.each(endsStream)('serves other streams after %s', (_what, frames) => {
    const server = handshaken(small);
    for (const bytes of [...frames, connect(3), data(3, 'on')]) server.session.receive(bytes);
    expect(server.events.slice(-2)).toEqual(['headers 3', 'data 3 "on"']);
    expect(server.session.closed).toBe(false);
  });

  it.each(malformedRequests)('refuses a request with %s before anybody hears of it', (_what, frames) => {
    const server = handshaken(small);
    for (const bytes of [...frames, connect(3)]) server.session.receive(bytes);
    expect(server.frames()).toEqual(['RST_STREAM 1 PROTOCOL_ERROR']);
    expect(server.events).toEqual(['headers 3']);
  });
});

/** The last frame of a server that gets these bytes from the start. */
const opening = (...chunks: Buffer[]): string | undefined => {
  const server = endpoint(small);
  server.session.start();
  server.pullAll();
  for (const bytes of chunks) server.session.receive(bytes);
  return server.frames().at(-1);
};

describe('the start of a connection', () => {
  it.each<readonly [string, Buffer[]]>([
    ['HTTP/1.1', [Buffer.from('GET / HTTP/1.1\r\nHost: web\r\n\r\n')]],
    ['a TLS record', [Buffer.of(0x16, 3, 1, 0, 5)]],
    ['a preface with one wrong byte at its end', [preface.subarray(0, 23), Buffer.from('x')]],
    ['another frame than SETTINGS', [preface, frame('PING', 0, 0, Buffer.alloc(8))]],
    ['an unknown frame before SETTINGS', [preface, frame(0xee, 0, 0)]],
    ['an acknowledgement instead of SETTINGS', [preface, frame('SETTINGS', ACK, 0)]],
    ['a request instead of SETTINGS', [preface, connect(1)]],
  ])('refuses %s', (_what, chunks) => {
    expect(opening(...chunks)).toBe('GOAWAY 0 PROTOCOL_ERROR');
  });

  it('takes SETTINGS after the preface, whatever the pieces', () => {
    const bytes = Buffer.concat([preface, settings()]);
    expect(opening(...Array.from(bytes, (byte) => Buffer.of(byte)))).toBe('SETTINGS ACK');
  });
});

/** A client with stream 1 open. */
const client = (): ReturnType<typeof handshaken> => {
  const end = handshaken({ ...small, role: 'client' });
  end.session.openStream(connectFields);
  end.pullAll();
  return end;
};

describe('a client whose server breaks the protocol', () => {
  it.each<readonly [string, readonly Buffer[], CodeName]>([
    ['a request', [connect(2)], 'PROTOCOL_ERROR'],
    ['a response on an idle stream', [ok(3)], 'PROTOCOL_ERROR'],
    [
      'PUSH_PROMISE',
      [frame('PUSH_PROMISE', END_HEADERS, 1, Buffer.concat([uint32(2), block(connectFields)]))],
      'PROTOCOL_ERROR',
    ],
    ['ENABLE_PUSH of 1', [settings(2, 1)], 'PROTOCOL_ERROR'],
    [
      'DATA beyond the connection window',
      Array.from({ length: 65 }, () => data(1, Buffer.alloc(16_384))),
      'FLOW_CONTROL_ERROR',
    ],
  ])('closes the connection on %s', (_what, frames, code) => {
    const end = handshaken({
      role: 'client',
      settings: { streamWindow: 2 << 20, connectionWindow: 1 << 20, maxFrameSize: 16_384 },
      limits: { unconsumedBytes: 1 << 20 },
    });
    end.session.openStream(connectFields);
    for (const bytes of [ok(1), ...frames]) end.session.receive(bytes);
    expect(end.frames().at(-1)).toBe(`GOAWAY 0 ${code}`);
  });

  it.each<readonly [string, readonly Buffer[]]>([
    ['DATA before the response', [data(1, 'x')]],
    ['a response without :status', [headers(1, [['x', 'y']])]],
    ['a :status that is no number', [headers(1, [[':status', 'OK']])]],
    ['a :status of four digits', [headers(1, [[':status', '2000']])]],
    ['status 101', [headers(1, [[':status', '101']])]],
    [
      'an interim response that ends the stream',
      [headers(1, [[':status', '103']], END_HEADERS | END_STREAM)],
    ],
    [
      'a request field in the response',
      [
        headers(1, [
          [':status', '200'],
          [':path', '/'],
        ]),
      ],
    ],
    ['a second response', [ok(1), ok(1)]],
  ])('resets the stream on %s', (_what, frames) => {
    const end = client();
    for (const bytes of frames) end.session.receive(bytes);
    expect(end.frames()).toEqual(['RST_STREAM 1 PROTOCOL_ERROR']);
    expect(end.events.at(-1)).toBe('reset 1 PROTOCOL_ERROR H2_PROTOCOL');
    expect(end.session.closed).toBe(false);
  });

  it('ignores what comes for a stream it has reset, and gives its bytes back to the connection', () => {
    const end = client();
    end.session.receive(ok(1));
    end.session.reset(stream(1), 8);
    for (let i = 0; i < 200; i++) end.session.receive(data(1, Buffer.alloc(16_000)));
    end.session.receive(headers(1, [['x', 'y']], END_HEADERS | END_STREAM));
    end.session.receive(frame('WINDOW_UPDATE', 0, 1, uint32(5)));
    end.session.receive(frame('RST_STREAM', 0, 1, uint32(8)));
    expect(end.session.closed).toBe(false);
    expect(end.events).toEqual(['headers 1']);
    expect(end.session.unconsumedBytes).toBe(0);
  });
});
