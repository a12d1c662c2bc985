/** What a session does when everybody behaves: handshake, streams, half-close, how many, and how they part. */
import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { endpoint, exchange, stream } from './support/endpoint.ts';
import { client, clientWithWindow, ok200, server, tunnel } from './support/scenes.ts';
import {
  END_HEADERS,
  END_STREAM,
  connect,
  connectFields,
  data,
  frame,
  headers,
  ok,
  parseFrames,
  settings,
  uint32,
} from './support/wire.ts';

describe('the handshake', () => {
  it('opens a client with preface, settings and a large connection window', () => {
    const end = endpoint({ role: 'client' });
    end.session.start();
    const bytes = end.pullAll();
    expect(end.session.pull(1000)).toEqual([]);
    const [, advertised, update] = parseFrames(bytes);
    expect(advertised?.payload.toString('hex')).toBe(
      ['000200000000', '000400400000', '000500100000', '000600004000'].join(''),
    );
    expect(update?.payload.readUInt32BE(0)).toBe((16 << 20) - 65_535);
  });

  it('opens a server with its settings, among them 200 streams and 64 KiB of header fields', () => {
    const end = endpoint({ role: 'server' });
    end.session.start();
    const [advertised] = parseFrames(end.pullAll());
    expect(advertised?.payload.toString('hex')).toBe(
      ['0003000000c8', '000400400000', '000500100000', '000600010000'].join(''),
    );
  });

  it('is over when the peer’s settings are there, and acknowledges them', () => {
    const end = endpoint({ role: 'client' });
    end.session.start();
    end.pullAll();
    end.session.receive(settings(1, 0, 3, 7, 0x99, 1));
    expect(end.events).toEqual(['ready']);
    expect(end.frames()).toEqual(['SETTINGS ACK']);
    expect(end.session.availableStreams).toBe(7);
    end.session.receive(settings());
    expect(end.events).toEqual(['ready']);
  });

  it('lets a client send a request before it has heard anything', () => {
    const end = endpoint({ role: 'client' });
    end.session.start();
    end.session.openStream(connectFields);
    expect(end.frames()).toEqual(['PREFACE', 'SETTINGS', 'WINDOW_UPDATE 0 16711681', 'HEADERS 1']);
  });

  it('takes window updates, PRIORITY and unknown frames before the acknowledgement', () => {
    const end = endpoint({ role: 'server' });
    end.session.start();
    end.session.receive(
      Buffer.concat([
        Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
        settings(2, 0, 4, 1 << 22, 5, 1 << 20),
        frame('WINDOW_UPDATE', 0, 0, uint32(15_663_105)),
        frame('PRIORITY', 0, 3, Buffer.alloc(5)),
        frame(0xee, 0, 0, Buffer.from('grease')),
        connect(1),
        data(1, 'early'),
      ]),
    );
    expect(end.events).toEqual(['ready', 'headers 1', 'data 1 "early"']);
  });
});

describe('a stream', () => {
  it('carries a request, a response, and bytes both ways', () => {
    const { a, b } = tunnel();
    a.session.send(stream(1), Buffer.from('ping'));
    b.session.send(stream(1), Buffer.from('pong'));
    exchange(a, b);
    expect(b.headersOf.get(1)).toEqual(connectFields);
    expect(a.headersOf.get(1)).toEqual(ok200);
    expect(b.events).toEqual(['data 1 "ping"']);
    expect(a.events).toEqual(['data 1 "pong"']);
  });

  it('stays open one way after the other was closed', () => {
    const { a, b } = tunnel();
    a.session.send(stream(1), Buffer.from('all'));
    a.session.end(stream(1));
    exchange(a, b);
    expect(b.events).toEqual(['data 1 "all"', 'end 1']);
    b.session.send(stream(1), Buffer.from('still here'));
    exchange(a, b);
    expect([a.session.openStreams, b.session.openStreams]).toEqual([1, 1]);
    b.session.end(stream(1));
    exchange(a, b);
    expect(a.events).toEqual(['data 1 "still here"', 'end 1']);
    expect([a.session.openStreams, b.session.openStreams]).toEqual([0, 0]);
  });

  it('puts END_STREAM on the last DATA frame', () => {
    const { a } = tunnel();
    a.session.send(stream(1), Buffer.from('last'));
    a.session.end(stream(1));
    expect(a.frames()).toEqual(['DATA 1 "last" END']);
  });

  it('can end without a byte, even with no window left', () => {
    const end = clientWithWindow(0);
    const id = end.session.openStream(connectFields);
    end.session.end(id);
    expect(end.frames()).toEqual(['HEADERS 1', 'DATA 1 "" END']);
  });

  it('ends when the peer sends trailers', () => {
    const end = client();
    end.session.openStream(connectFields);
    end.session.receive(ok(1));
    end.session.receive(headers(1, [['x-status', 'done']], END_HEADERS | END_STREAM));
    expect(end.events).toEqual(['headers 1', 'end 1']);
  });

  it('takes a response behind an interim one', () => {
    const end = client();
    end.session.openStream(connectFields);
    end.session.receive(
      headers(1, [
        [':status', '103'],
        ['link', '</x>'],
      ]),
    );
    end.session.receive(ok(1));
    expect(end.events).toEqual(['headers 1']);
    expect(end.headersOf.get(1)).toEqual(ok200);
  });

  it('is refused with a status, and the rest of the request is cut off', () => {
    const end = server({ onHeaders: (id) => end.session.respond(id, [[':status', '401']], true) });
    end.session.receive(connect(1));
    expect(end.frames()).toEqual(['HEADERS 1 END', 'RST_STREAM 1 NO_ERROR']);
    end.session.receive(data(1, 'too late'));
    expect(end.events).toEqual(['headers 1']);
    expect(end.session.openStreams).toBe(0);
  });

  it('tells a reset to the other side with its code, and drops what was queued', () => {
    const { a, b } = tunnel();
    a.session.send(stream(1), Buffer.alloc(1000));
    a.session.reset(stream(1), 8);
    expect(a.session.queuedBytes).toBe(0);
    exchange(a, b);
    expect(b.events).toEqual(['reset 1 CANCEL STREAM_RESET']);
    expect(a.events).toEqual([]);
  });

  it('ignores commands after it is gone', () => {
    const { a, b } = tunnel();
    b.session.reset(stream(1), 8);
    exchange(a, b);
    a.session.send(stream(1), Buffer.from('x'));
    a.session.end(stream(1));
    a.session.consumed(stream(1), 5);
    a.session.reset(stream(1), 8);
    expect(a.frames()).toEqual([]);
  });

  it('is not used wrongly by its owner without notice', () => {
    const { a, b } = tunnel();
    a.session.end(stream(1));
    expect(() => a.session.send(stream(1), Buffer.of(1))).toThrow(MeshError);
    expect(() => a.session.end(stream(1))).toThrow(/after its end/);
    expect(() => b.session.respond(stream(1), ok200, false)).toThrow(/second response/);
    expect(() => b.session.consumed(stream(1), 1)).toThrow(/more bytes/);
    a.session.openStream(connectFields);
    exchange(a, b);
    expect(() => b.session.send(stream(3), Buffer.of(1))).toThrow(/before its response/);
    expect(() =>
      a.session.openStream([
        [':method', 'CONNECT'],
        [':authority', 'a\nb'],
      ]),
    ).toThrow(/illegal/);
  });
});

describe('how many streams', () => {
  it('opens as many as the peer allows, at most 100, and tells when there is room again', () => {
    const end = client();
    expect(end.session.availableStreams).toBe(100);
    end.session.receive(settings(3, 2));
    end.session.openStream(connectFields);
    end.session.openStream(connectFields);
    expect(() => end.session.openStream(connectFields)).toThrow(
      expect.objectContaining({ code: 'OVERLOADED' }),
    );
    end.session.receive(frame('RST_STREAM', 0, 1, uint32(8)));
    expect(end.events).toEqual(['reset 1 CANCEL STREAM_RESET', 'capacity']);
    expect(end.session.availableStreams).toBe(1);
  });

  it('copes with a limit that falls below what is open, and with 0', () => {
    const end = client();
    for (let i = 0; i < 3; i++) end.session.openStream(connectFields);
    end.session.receive(settings(3, 0));
    expect(end.session.availableStreams).toBe(0);
    end.session.receive(settings(3, 4));
    expect(end.events).toEqual(['capacity']);
  });

  it('refuses more streams than it advertised, as ones it never looked at', () => {
    const end = server({}, { settings: { maxConcurrentStreams: 2 } });
    for (const id of [1, 3, 5]) end.session.receive(connect(id));
    expect(end.frames()).toEqual(['RST_STREAM 5 REFUSED_STREAM']);
    end.session.receive(data(5, 'ignored'));
    end.session.receive(frame('RST_STREAM', 0, 1, uint32(8)));
    end.session.receive(connect(7));
    expect(end.events.at(-1)).toBe('headers 7');
  });
});

describe('keepalive', () => {
  it('answers PING with the same eight bytes, and knows its own', () => {
    const { a, b } = tunnel();
    a.session.ping();
    a.session.ping();
    exchange(a, b);
    expect(a.events).toEqual(['pong', 'pong']);
  });

  it('ignores an answer nobody asked for', () => {
    const end = client();
    end.session.ping();
    end.session.receive(frame('PING', 1, 0, Buffer.from('whatever')));
    expect(end.events).toEqual([]);
  });
});

describe('parting', () => {
  it('drains a server: requests under way are served, later ones not, the last stream closes it', () => {
    const end = server();
    end.session.receive(connect(1));
    end.session.drain();
    expect(end.frames()).toEqual(['GOAWAY 2147483647 NO_ERROR', 'PING']);
    end.session.receive(connect(3));
    end.session.receive(frame('PING', 1, 0, Buffer.from('\0\0\0\0\0\0\0\x01', 'latin1')));
    expect(end.frames()).toEqual(['GOAWAY 3 NO_ERROR']);
    end.session.receive(connect(5));
    expect(end.frames()).toEqual(['RST_STREAM 5 REFUSED_STREAM']);
    end.session.reset(stream(1), 8);
    expect(end.session.closed).toBe(false);
    end.session.reset(stream(3), 8);
    expect(end.events).toEqual(['headers 1', 'headers 3', 'closed in order']);
    expect(end.frames()).toEqual(['RST_STREAM 1 CANCEL', 'RST_STREAM 3 CANCEL']);
  });

  it('drains a client: no new stream, closed with the last one', () => {
    const { a, b } = tunnel();
    a.session.drain();
    expect(() => a.session.openStream(connectFields)).toThrow(expect.objectContaining({ code: 'DRAINING' }));
    exchange(a, b);
    expect(b.events).toEqual(['goaway NO_ERROR 0']);
    a.session.end(stream(1));
    b.session.end(stream(1));
    exchange(a, b);
    expect([a.events.at(-1), b.events.at(-1)]).toEqual(['closed in order', 'closed in order']);
  });

  it('drains a client without streams at once', () => {
    const end = client();
    end.session.drain();
    expect(end.events).toEqual(['closed in order']);
    expect(end.frames()).toEqual(['GOAWAY 0 NO_ERROR']);
  });

  it('resets the streams that a peer’s GOAWAY leaves out, as refused', () => {
    const end = client();
    for (let i = 0; i < 3; i++) end.session.openStream(connectFields);
    end.session.receive(frame('GOAWAY', 0, 0, uint32(3, 0)));
    expect(end.events).toEqual(['goaway NO_ERROR 3', 'reset 5 REFUSED_STREAM STREAM_RESET']);
    expect(end.session.availableStreams).toBe(0);
    end.session.receive(ok(1));
    expect(end.session.openStreams).toBe(2);
  });

  it('names the peer’s reason when its GOAWAY had one', () => {
    const end = client();
    end.session.openStream(connectFields);
    const reason = Buffer.concat([uint32(1, 11), Buffer.from('too_many_pings\n')]);
    end.session.receive(frame('GOAWAY', 0, 0, reason));
    end.session.transportClosed();
    expect(end.closedWith()?.code).toBe('PEER_GONE');
    expect(end.closedWith()?.message).toMatch(/ENHANCE_YOUR_CALM \(too_many_pings\.\)$/);
    expect(end.events.slice(-2)).toEqual(['reset 1 CANCEL PEER_GONE', 'closed PEER_GONE']);
  });

  it('resets every stream when the connection is lost', () => {
    const { a } = tunnel();
    a.session.transportClosed();
    expect(a.events).toEqual(['reset 1 CANCEL PEER_GONE', 'closed PEER_GONE']);
    expect(a.frames()).toEqual([]);
  });

  it('says nothing more once it has closed, even of the same piece', () => {
    const end = server();
    end.session.receive(Buffer.concat([frame('GOAWAY', 0, 0, uint32(0, 0)), connect(1), data(1, 'x')]));
    expect(end.events).toEqual(['goaway NO_ERROR 0', 'closed in order']);
    expect(end.session.openStreams).toBe(0);
  });

  it('takes the end of an idle connection for what it is', () => {
    const end = client();
    end.session.transportClosed();
    expect(end.events).toEqual(['closed in order']);
  });

  it('can be destroyed, which the peer is told', () => {
    const { a } = tunnel();
    a.session.send(stream(1), Buffer.from('never sent'));
    a.session.destroy(new MeshError('POD_REMOVED', 'gone'));
    expect(a.events).toEqual(['reset 1 CANCEL POD_REMOVED', 'closed POD_REMOVED']);
    expect(a.frames()).toEqual(['GOAWAY 0 NO_ERROR']);
    a.session.receive(data(1, 'x'));
    a.session.destroy(new MeshError('POD_REMOVED', 'gone'));
    a.session.transportClosed();
    expect(a.events).toHaveLength(2);
  });

  it('turns a bug in the owner into the end of this connection, not of the process', () => {
    const end = server({
      onHeaders() {
        throw new Error('bug');
      },
    });
    end.session.receive(connect(1));
    expect(end.closedWith()?.code).toBe('INTERNAL');
    expect(end.frames()).toEqual([expect.stringMatching(/^GOAWAY 1 INTERNAL_ERROR$/)]);
  });
});
