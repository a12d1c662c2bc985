/** DATA in both directions: windows, queues, turns, and what a slow side may hold. */
import { describe, expect, it } from '@jest/globals';
import type { H2SessionOptions } from '../../../../src/net/h2/contract.ts';
import { endpoint, exchange, stream } from './support/endpoint.ts';
import { client, clientWithWindow, ok200, server, tunnel } from './support/scenes.ts';
import { connect, connectFields, data, frame, parseFrames, settings, uint32 } from './support/wire.ts';

describe('sending', () => {
  it('obeys the stream window, and goes on when it grows', () => {
    const end = clientWithWindow(5);
    const id = end.session.openStream(connectFields);
    end.session.send(id, Buffer.from('hello world'));
    expect(end.frames()).toEqual(['HEADERS 1', 'DATA 1 "hello"']);
    expect(end.session.queuedBytes).toBe(6);
    end.session.receive(frame('WINDOW_UPDATE', 0, 1, uint32(3)));
    expect(end.frames()).toEqual(['DATA 1 " wo"']);
    end.session.receive(frame('WINDOW_UPDATE', 0, 1, uint32(100)));
    end.session.end(id);
    expect(end.frames()).toEqual(['DATA 1 "rld" END']);
  });

  it('obeys the connection window', () => {
    const end = client();
    end.session.receive(settings(4, 1 << 20, 5, 1 << 20));
    const id = end.session.openStream(connectFields);
    end.session.send(id, Buffer.alloc(70_000));
    const sent = parseFrames(end.pullAll()).filter(({ name }) => name === 'DATA');
    expect(sent.reduce((sum, { payload }) => sum + payload.length, 0)).toBe(65_535);
    end.session.receive(frame('WINDOW_UPDATE', 0, 0, uint32(10_000)));
    expect(end.frames()).toEqual(['DATA 1 4465 bytes']);
  });

  it('obeys a window that was lowered below what is already used', () => {
    const end = clientWithWindow(100);
    const id = end.session.openStream(connectFields);
    end.session.send(id, Buffer.alloc(200));
    end.pullAll();
    end.session.receive(settings(4, 50));
    end.session.receive(frame('WINDOW_UPDATE', 0, 1, uint32(50)));
    expect(end.frames()).toEqual(['SETTINGS ACK']);
    end.session.receive(frame('WINDOW_UPDATE', 0, 1, uint32(1)));
    expect(end.frames()).toEqual(['DATA 1 "\0"']);
  });

  it('sends no frame larger than the peer takes', () => {
    const end = clientWithWindow(1 << 20);
    const id = end.session.openStream(connectFields);
    end.session.send(id, Buffer.alloc(40_000));
    expect(end.frames().slice(1)).toEqual(['DATA 1 16384 bytes', 'DATA 1 16384 bytes', 'DATA 1 7232 bytes']);
  });

  it('splits header fields larger than a frame', () => {
    const end = client();
    end.session.openStream([...connectFields, ['baggage', 'x'.repeat(40_000)]]);
    expect(end.frames()).toEqual(['HEADERS 1', 'CONTINUATION', 'CONTINUATION']);
  });

  it('says when a queue is full, and again when half of it has left', () => {
    const end = clientWithWindow(60_000);
    const id = end.session.openStream(connectFields);
    end.pullAll();
    const sent = Array.from({ length: 6 }, () => end.session.send(id, Buffer.alloc(50_000)));
    expect(sent).toEqual([true, true, true, true, true, false]);
    end.pullAll();
    expect(end.events).toEqual([]);
    end.session.receive(frame('WINDOW_UPDATE', 0, 1, uint32(120_000)));
    end.pullAll();
    expect(end.events).toEqual(['writable 1']);
  });

  it('lets streams that share the connection window take turns', () => {
    const end = client();
    end.session.receive(settings(4, 1 << 24, 5, 1 << 20));
    const ids = [0, 1, 2].map(() => end.session.openStream(connectFields));
    for (const id of ids) end.session.send(id, Buffer.alloc(1 << 20));
    end.pullAll();
    const sent = new Map<number, number>();
    for (let i = 0; i < 30; i++) {
      end.session.receive(frame('WINDOW_UPDATE', 0, 0, uint32(50_000)));
      for (const { stream: id, payload } of parseFrames(end.pullAll())) {
        sent.set(id, (sent.get(id) ?? 0) + payload.length);
      }
    }
    expect([...sent.values()]).toEqual([500_000, 500_000, 500_000]);
  });

  it('lets control frames pass bytes that wait', () => {
    const { a } = tunnel();
    a.session.send(stream(1), Buffer.alloc(100_000));
    a.session.ping();
    const first = a.session.pull(1);
    expect(parseFrames(Buffer.concat(first))[0]?.name).toBe('PING');
  });

  it('hands out no more than was asked for, but for one frame', () => {
    const { a } = tunnel();
    a.session.send(stream(1), Buffer.alloc(200_000));
    const size = Buffer.concat(a.session.pull(100_000)).length;
    expect(size).toBeGreaterThanOrEqual(100_000);
    expect(size).toBeLessThan(100_000 + 65_536 + 18);
  });

  it('fills what was asked for to the byte when more is queued, so that TLS records are full', () => {
    const { a } = tunnel();
    a.session.send(stream(1), Buffer.alloc(200_000));
    expect(Buffer.concat(a.session.pull(65_536)).length).toBe(65_536);
    expect(Buffer.concat(a.session.pull(65_536)).length).toBe(65_536);
  });

  it('makes one frame of a chunk of 64 KiB', () => {
    const { a } = tunnel();
    a.session.send(stream(1), Buffer.alloc(65_536));
    expect(a.frames()).toEqual(['DATA 1 65536 bytes']);
  });

  it('passes payload on without a copy', () => {
    const { a } = tunnel();
    const bytes = Buffer.from('payload');
    a.session.send(stream(1), bytes);
    expect(a.session.pull(1000)[1]).toBe(bytes);
  });

  it('wakes its owner once until everything was pulled', () => {
    const { a } = tunnel();
    const before = a.wakes();
    a.session.send(stream(1), Buffer.from('a'));
    a.session.send(stream(1), Buffer.from('b'));
    a.session.ping();
    expect(a.wakes()).toBe(before + 1);
    a.session.pull(1000);
    a.session.ping();
    expect(a.wakes()).toBe(before + 1);
    a.pullAll();
    a.session.ping();
    expect(a.wakes()).toBe(before + 2);
  });
});

describe('receiving', () => {
  const small: Partial<H2SessionOptions> = { settings: { streamWindow: 100_000, connectionWindow: 400_000 } };

  it('gives window back as the owner uses the bytes, half a window at a time', () => {
    const end = server({}, small);
    end.session.receive(connect(1));
    end.session.receive(data(1, Buffer.alloc(60_000)));
    expect(end.frames()).toEqual([]);
    end.session.consumed(stream(1), 30_000);
    expect(end.frames()).toEqual([]);
    end.session.consumed(stream(1), 30_000);
    expect(end.frames()).toEqual(['WINDOW_UPDATE 1 60000']);
  });

  it('gives padding back by itself', () => {
    const end = server({}, { settings: { streamWindow: 65_535, connectionWindow: 65_535 } });
    end.session.receive(connect(1));
    const padded = frame('DATA', 8, 1, Buffer.concat([Buffer.of(255), Buffer.alloc(256)]));
    for (let i = 0; i < 200; i++) end.session.receive(padded);
    expect(end.session.unconsumedBytes).toBe(200);
    expect(end.frames().length).toBeGreaterThan(0);
  });

  it('does not let one unread stream stop the others', () => {
    const { a, b } = tunnel({
      settings: { streamWindow: 65_535, connectionWindow: 262_140 },
      limits: { unconsumedBytes: 65_535 * 9, sendQueueBytes: 1 << 20 },
    });
    for (let i = 0; i < 8; i++) {
      const id = a.session.openStream(connectFields);
      exchange(a, b);
      b.session.respond(id, ok200, false);
    }
    exchange(a, b);
    for (let id = 1; id <= 15; id += 2) a.session.send(stream(id), Buffer.alloc(100_000));
    exchange(a, b);
    expect(b.session.unconsumedBytes).toBe(8 * 65_535);
    a.session.send(stream(17), Buffer.from('through'));
    exchange(a, b);
    expect(b.events.at(-1)).toBe('data 17 "through"');
  });

  it('still counts bytes of a stream that ended in order, until they are used', () => {
    const { a, b } = tunnel();
    a.session.send(stream(1), Buffer.alloc(5000));
    a.session.end(stream(1));
    exchange(a, b);
    b.session.end(stream(1));
    expect([b.session.openStreams, b.session.unconsumedBytes]).toEqual([0, 5000]);
    b.session.consumed(stream(1), 5000);
    expect(b.session.unconsumedBytes).toBe(0);
  });

  it('counts bytes of a stream that was reset no more', () => {
    const { a, b } = tunnel();
    a.session.send(stream(1), Buffer.alloc(5000));
    exchange(a, b);
    b.session.reset(stream(1), 8);
    expect(b.session.unconsumedBytes).toBe(0);
    b.session.consumed(stream(1), 5000);
    expect(b.session.unconsumedBytes).toBe(0);
  });

  it('survives a stream reset by its owner in the middle of a frame', () => {
    const end = server({ onData: (id) => end.session.reset(id, 8) });
    end.session.receive(connect(1));
    const bytes = data(1, Buffer.alloc(1000));
    end.session.receive(bytes.subarray(0, 100));
    end.session.receive(bytes.subarray(100));
    end.session.receive(connect(3));
    expect(end.events).toEqual(['headers 1', 'data 1 91', 'headers 3']);
    expect(end.session.unconsumedBytes).toBe(0);
  });

  it('tolerates a peer that uses the initial window until it knows of a smaller one', () => {
    const tiny = { streamWindow: 100, connectionWindow: 1 << 20 };
    const end = endpoint({ role: 'server', settings: tiny });
    end.session.start();
    end.session.receive(
      Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings(), connect(1)]),
    );
    end.session.receive(data(1, Buffer.alloc(60_000)));
    end.session.receive(frame('SETTINGS', 1, 0));
    expect(end.session.closed).toBe(false);
    end.session.receive(connect(3));
    end.session.receive(data(3, Buffer.alloc(101)));
    expect(end.events.at(-1)).toBe('reset 3 FLOW_CONTROL_ERROR H2_FLOW_CONTROL');
  });
});
