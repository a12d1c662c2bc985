import { describe, expect, it } from '@jest/globals';
import { array, assert, integer, property } from 'fast-check';
import { FrameDecoder } from '../../../../src/net/h2/decode.ts';
import type { FrameSink } from '../../../../src/net/h2/frame.ts';
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  PADDED,
  PRIORITY,
  data,
  frame,
  preface,
  settings,
  uint32,
} from './support/wire.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** A sink that writes down what it is told; payload pieces of one frame are joined. */
function recorder(): { log: string[]; views: Uint8Array[]; sink: FrameSink } {
  const log: string[] = [];
  const views: Uint8Array[] = [];
  let payload: Uint8Array[] = [];
  return {
    log,
    views,
    sink: {
      dataBegin: (stream, length, end) => log.push(`data ${stream} ${length} ${end}`),
      data(bytes) {
        views.push(bytes);
        payload.push(Buffer.from(bytes));
      },
      dataEnd() {
        log.push(`payload ${text(Buffer.concat(payload))}`);
        payload = [];
      },
      headers: (stream, block, end) => log.push(`headers ${stream} ${text(block)} ${end}`),
      rstStream: (stream, code) => log.push(`rst ${stream} ${code}`),
      settings: (entries) => log.push(`settings ${text(entries)}`),
      settingsAck: () => log.push('settings ack'),
      ping: (opaque, ack) => log.push(`ping ${text(opaque)} ${ack}`),
      goaway: (last, code, debug) => log.push(`goaway ${last} ${code} ${text(debug)}`),
      windowUpdate: (stream, increment) => log.push(`window ${stream} ${increment}`),
      ignored: (type) => log.push(`ignored ${type}`),
    },
  };
}

const options = {
  maxFrameSize: 16_384,
  expectPreface: true,
  maxHeaderBlockBytes: 1000,
  maxContinuations: 4,
};

/** Every frame type there is, with every optional part. */
const conversation = Buffer.concat([
  preface,
  settings(3, 100, 0xf0, 7),
  frame('WINDOW_UPDATE', 0, 0, uint32(0x8000_0001)),
  frame('SETTINGS', ACK, 0),
  frame('HEADERS', END_HEADERS, 1, Buffer.from('one')),
  frame('HEADERS', PADDED | PRIORITY, 3, Buffer.from('\x02\0\0\0\0\x10frag\0\0', 'latin1')),
  frame('CONTINUATION', 0, 3, Buffer.from('men')),
  frame('CONTINUATION', 0, 3),
  frame('CONTINUATION', END_HEADERS, 3, Buffer.from('ted')),
  data(1, 'hello '),
  frame('DATA', PADDED, 1, Buffer.from('\x03padded\0\0\0', 'latin1')),
  frame('DATA', PADDED, 1, Buffer.from('\x02\0\0', 'latin1')),
  frame('DATA', PADDED, 1, Buffer.from('\x00x', 'latin1')),
  data(1, ''),
  data(1, 'x'.repeat(3000), END_STREAM),
  frame('PING', 0, 0, Buffer.from('12345678')),
  frame('PING', ACK, 0, Buffer.from('87654321')),
  frame('PRIORITY', 0, 5, Buffer.alloc(5)),
  frame(0xee, 0xff, 9, Buffer.alloc(100)),
  frame(0xee, 0, 0),
  frame('RST_STREAM', 0, 1, uint32(8)),
  frame('HEADERS', END_HEADERS | END_STREAM, 5),
  frame('GOAWAY', 0, 0, Buffer.concat([uint32(7, 11), Buffer.from('calm down')])),
]);

const told = [
  'settings \0\x03\0\0\0\x64\0\xf0\0\0\0\x07',
  'window 0 1',
  'settings ack',
  'headers 1 one false',
  'headers 3 fragmented false',
  'data 1 6 false',
  'payload hello ',
  'data 1 10 false',
  'payload padded',
  'data 1 3 false',
  'payload ',
  'data 1 2 false',
  'payload x',
  'data 1 0 false',
  'payload ',
  'data 1 3000 true',
  `payload ${'x'.repeat(3000)}`,
  'ping 12345678 false',
  'ping 87654321 true',
  'ignored 2',
  'ignored 238',
  'ignored 238',
  'rst 1 8',
  'headers 5  true',
  'goaway 7 11 calm down',
];

function decode(bytes: Uint8Array, cuts: readonly number[]): string[] {
  const { log, sink } = recorder();
  const decoder = new FrameDecoder(sink, options);
  let at = 0;
  for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
    decoder.write(bytes.subarray(at, cut));
    at = cut;
  }
  return log;
}

describe('the frame decoder', () => {
  it('tells every frame of a conversation in one piece', () => {
    expect(decode(conversation, [])).toEqual(told);
  });

  it('tells the same byte by byte', () => {
    expect(
      decode(
        conversation,
        Array.from(conversation, (_, i) => i),
      ),
    ).toEqual(told);
  });

  it('tells the same in any pieces', () => {
    const cuts = array(integer({ min: 0, max: conversation.length }), { maxLength: 60 });
    assert(property(cuts, (at) => expect(decode(conversation, at)).toEqual(told)));
  });

  it('passes payload on without a copy, and as soon as it is there', () => {
    const { log, views, sink } = recorder();
    const decoder = new FrameDecoder(sink, { ...options, expectPreface: false });
    decoder.write(settings());
    const chunk = Buffer.concat([data(1, 'x'.repeat(1000)).subarray(0, 9), Buffer.from('first')]);
    decoder.write(chunk);
    expect(log.at(-1)).toBe('data 1 1000 false');
    expect(views[0]?.buffer).toBe(chunk.buffer);
    const whole = Buffer.from('second');
    decoder.write(whole);
    expect(views[1]).toBe(whole);
  });

  it('is silent once stopped, even inside a chunk', () => {
    const { log, sink } = recorder();
    const decoder: FrameDecoder = new FrameDecoder({ ...sink, settingsAck: () => decoder.stop() }, options);
    decoder.write(conversation);
    decoder.write(conversation);
    expect(log).toEqual(told.slice(0, 2));
  });
});
