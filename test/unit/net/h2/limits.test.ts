/** What a peer may cost: floods end the connection, and honest peers never get near a limit. */
import { describe, expect, it } from '@jest/globals';
import type { H2SessionOptions } from '../../../../src/net/h2/contract.ts';
import { type Endpoint, type Reactions, handshaken, stream } from './support/endpoint.ts';
import {
  END_STREAM,
  connect,
  connectFields,
  data,
  frame,
  headers,
  ok,
  settings,
  uint32,
} from './support/wire.ts';

const server = (reactions: Reactions = {}, options: Partial<H2SessionOptions> = {}): Endpoint =>
  handshaken({ role: 'server', ...options }, reactions);

/** Feeds `make(i)` until the session closes; returns how many it took, at most `max`. */
function feedUntilClosed(end: Endpoint, max: number, make: (i: number) => Buffer, pull = true): number {
  for (let i = 0; i < max; i++) {
    end.session.receive(make(i));
    if (end.session.closed) return i + 1;
    if (pull) end.pullAll();
  }
  return max;
}

const rst = (id: number): Buffer => frame('RST_STREAM', 0, id, uint32(8));
const oddId = (i: number): number => i * 2 + 1;

/** A server with one tunnel. */
const serverWithTunnel = (): Endpoint => {
  const end = server();
  end.session.receive(connect(1));
  end.session.respond(stream(1), [[':status', '200']], false);
  return end;
};

const provoke = (i: number): Buffer =>
  Buffer.concat([connect(oddId(i)), frame('WINDOW_UPDATE', 0, oddId(i), uint32(0))]);

describe('a flood', () => {
  it.each<readonly [string, Buffer]>([
    ['PING', frame('PING', 0, 0, Buffer.alloc(8))],
    ['answers to PING nobody sent', frame('PING', 1, 0, Buffer.alloc(8))],
    ['SETTINGS', settings(4, 70_000)],
    ['acknowledgements of SETTINGS', frame('SETTINGS', 1, 0)],
    ['PRIORITY', frame('PRIORITY', 0, 1, Buffer.alloc(5))],
    ['unknown frames', frame(0xee, 0, 0)],
    ['empty DATA', data(1, '')],
    ['window updates of one byte', frame('WINDOW_UPDATE', 0, 1, uint32(1))],
    ['window updates for the connection', frame('WINDOW_UPDATE', 0, 0, uint32(1))],
    ['GOAWAY', frame('GOAWAY', 0, 0, uint32(1, 0))],
  ])('of %s ends the connection', (_what, bytes) => {
    const end = serverWithTunnel();
    expect(feedUntilClosed(end, 20_000, () => bytes)).toBeLessThan(12_000);
    expect(end.closedWith()?.code).toBe('H2_LIMIT');
    expect(end.frames()).toEqual(['GOAWAY 1 ENHANCE_YOUR_CALM']);
  });

  it('of PING from a peer that reads no answer is cut earlier, with little held', () => {
    const end = server();
    const taken = feedUntilClosed(end, 20_000, () => frame('PING', 0, 0, Buffer.alloc(8)), false);
    expect(taken).toBeLessThan(5000);
    expect(end.closedWith()?.code).toBe('H2_LIMIT');
    expect(end.pullAll().length).toBeLessThan(100_000);
  });

  it('of refused requests from a peer that reads no answer is cut', () => {
    const end = server();
    const taken = feedUntilClosed(end, 20_000, (i) => headers(oddId(i), [['x', 'y']]), false);
    expect(taken).toBeLessThan(5000);
    expect(end.closedWith()?.code).toBe('H2_LIMIT');
  });

  it('of requests that are cancelled at once ends the connection', () => {
    const end = server();
    const taken = feedUntilClosed(end, 10_000, (i) => Buffer.concat([connect(oddId(i)), rst(oddId(i))]));
    expect(taken).toBeLessThan(1200);
    expect(end.closedWith()?.code).toBe('H2_LIMIT');
  });

  it('of streams that the peer makes us reset ends the connection', () => {
    const end = server();
    expect(feedUntilClosed(end, 10_000, provoke)).toBeLessThan(1200);
    expect(end.closedWith()?.code).toBe('H2_LIMIT');
  });

  it('of 10 000 streams at once is refused beyond the 200 we allow', () => {
    const end = server();
    const taken = feedUntilClosed(end, 10_000, (i) => connect(oddId(i)));
    expect(taken).toBeLessThan(1500);
    expect(end.events.filter((event) => event.startsWith('headers')).length).toBe(200);
  });

  it('of interim responses ends the connection', () => {
    const end = handshaken({ role: 'client' });
    end.session.openStream(connectFields);
    const taken = feedUntilClosed(end, 20_000, () => headers(1, [[':status', '103']]));
    expect(taken).toBeLessThan(12_000);
    expect(end.closedWith()?.code).toBe('H2_LIMIT');
  });

  it('of header fields: a list too large costs its stream, not the connection', () => {
    const end = server({}, { settings: { maxHeaderListSize: 500 } });
    const fields = Array.from({ length: 20 }, (_, i) => [`x${i}`, 'y'] as const);
    end.session.receive(headers(1, [...connectFields, ...fields]));
    end.session.receive(connect(3));
    expect(end.frames()).toEqual(['RST_STREAM 1 ENHANCE_YOUR_CALM']);
    expect(end.events).toEqual(['headers 3']);
  });
});

describe('an honest peer', () => {
  it('may reset tunnels that were established, as fast as it likes', () => {
    const end = server({ onHeaders: (id) => end.session.respond(id, [[':status', '200']], false) });
    for (let i = 0; i < 5000; i++) {
      end.session.receive(connect(oddId(i)));
      end.session.receive(Buffer.concat([data(oddId(i), 'x'), rst(oddId(i))]));
      if (i % 100 === 0) end.pullAll();
    }
    expect(end.session.closed).toBe(false);
  });

  it('may cancel requests at a rate a person would', () => {
    const end = server();
    for (let i = 0; i < 5000; i++) {
      end.session.receive(Buffer.concat([connect(oddId(i)), rst(oddId(i))]));
      end.clock.advance(20);
      end.pullAll();
    }
    expect(end.session.closed).toBe(false);
  });

  it('may update windows for every byte it gets', () => {
    const end = handshaken({ role: 'client' });
    const id = end.session.openStream(connectFields);
    end.session.receive(ok(1));
    for (let i = 0; i < 30_000; i++) {
      end.session.send(id, Buffer.of(1));
      end.pullAll();
      end.session.receive(frame('WINDOW_UPDATE', 0, 1, uint32(1)));
      end.session.receive(frame('WINDOW_UPDATE', 0, 0, uint32(1)));
    }
    expect(end.session.closed).toBe(false);
  });

  it('may send a PING every second for hours', () => {
    const end = server();
    for (let i = 0; i < 20_000; i++) {
      end.session.receive(frame('PING', 0, 0, Buffer.alloc(8)));
      end.clock.advance(1000);
      end.pullAll();
    }
    expect(end.session.closed).toBe(false);
  });
});

describe('memory', () => {
  it('is bounded for a peer with a zero window: the queue fills once and says so', () => {
    const end = handshaken({ role: 'client' });
    end.session.receive(settings(4, 0));
    const id = end.session.openStream(connectFields);
    let accepted = 0;
    while (end.session.send(id, Buffer.alloc(1000))) accepted++;
    expect(accepted).toBeLessThan(300);
    for (let i = 0; i < 100; i++) end.pullAll();
    expect(end.events).toEqual([]);
  });

  it('is bounded for an owner that reads nothing: a peer that obeys its windows is stopped', () => {
    const end = server(
      {},
      { settings: { streamWindow: 100_000, connectionWindow: 200_000 }, limits: { unconsumedBytes: 0 } },
    );
    let unconsumed = 0;
    for (let i = 0; i < 10 && !end.session.closed; i++) {
      end.session.receive(connect(oddId(i)));
      end.session.receive(data(oddId(i), Buffer.alloc(50_000)));
      unconsumed = Math.max(unconsumed, end.session.unconsumedBytes);
    }
    expect(unconsumed).toBe(200_000);
    expect(end.closedWith()?.code).toBe('H2_FLOW_CONTROL');
  });

  it('is not leaked by 5 000 streams that come and go', () => {
    const end = server({
      onHeaders: (id) => end.session.respond(id, [[':status', '200']], false),
      onData: (id, bytes) => end.session.consumed(id, bytes.length),
      onEnd: (id) => end.session.end(id),
    });
    for (let i = 0; i < 5000; i++) {
      end.session.receive(Buffer.concat([connect(oddId(i)), data(oddId(i), 'x', END_STREAM)]));
      end.pullAll();
      end.events.length = 0;
    }
    const { openStreams, queuedBytes, unconsumedBytes, closed } = end.session;
    expect({ openStreams, queuedBytes, unconsumedBytes, closed }).toEqual({
      openStreams: 0,
      queuedBytes: 0,
      unconsumedBytes: 0,
      closed: false,
    });
  });
});
