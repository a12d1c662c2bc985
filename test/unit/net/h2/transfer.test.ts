/**
 * Two sessions against each other under random use: whatever the windows, the chunks, the pace of the readers and the
 * pieces in which the wire delivers, every byte arrives in order, windows hold, and nothing gets stuck.
 */
import { describe, expect, it } from '@jest/globals';
import { array, assert, boolean, integer, nat, property, record } from 'fast-check';
import type { H2SessionOptions, StreamId } from '../../../../src/net/h2/contract.ts';
import { type Endpoint, endpoint, stream } from './support/endpoint.ts';
import { connectFields, parseFrames } from './support/wire.ts';

/** Byte `at` of what a stream carries in one direction. */
const byteAt = (id: number, at: number): number => (id * 31 + at * 7 + (at >> 8)) & 0xff;

/** One direction of one stream: what its sender has still to send, what its receiver has still to give back. */
class Flow {
  sent = 0;
  received = 0;
  owed = 0;
  ended = false;
  /** The sender knows the stream, and its queue has room. */
  writable = false;
  readonly id: StreamId;
  readonly size: number;

  constructor(id: StreamId, size: number) {
    this.id = id;
    this.size = size;
  }

  next(limit: number): Buffer {
    const bytes = Buffer.alloc(Math.min(limit, this.size - this.sent));
    for (let i = 0; i < bytes.length; i++) bytes[i] = byteAt(this.id, this.sent + i);
    this.sent += bytes.length;
    return bytes;
  }

  take(bytes: Uint8Array): void {
    const wrong = bytes.findIndex((byte, i) => byte !== byteAt(this.id, this.received + i));
    if (wrong >= 0) throw new Error(`byte ${this.received + wrong} of stream ${this.id} is wrong`);
    this.received += bytes.length;
    this.owed += bytes.length;
  }
}

/** An endpoint that sends `out` and receives `in`, both by stream. */
class Side {
  readonly out = new Map<StreamId, Flow>();
  readonly in = new Map<StreamId, Flow>();
  readonly end: Endpoint;
  #wire = Buffer.alloc(0);

  constructor(options: H2SessionOptions) {
    const session = (): Endpoint['session'] => this.end.session;
    this.end = endpoint(options, {
      onHeaders: (id) => {
        if (options.role === 'server') session().respond(id, [[':status', '200']], false);
        this.#allow(id);
      },
      onData: (id, bytes) => this.in.get(id)?.take(bytes),
      onEnd: (id) => {
        const flow = this.in.get(id);
        if (flow !== undefined) flow.ended = true;
      },
      onWritable: (id) => this.#allow(id),
    });
  }

  #allow(id: StreamId): void {
    const flow = this.out.get(id);
    if (flow !== undefined) flow.writable = true;
  }

  /** Sends one chunk on every stream whose queue has room, and half-closes after the last. */
  write(limit: number): void {
    for (const flow of this.out.values()) {
      if (flow.sent === flow.size || !flow.writable) continue;
      flow.writable = this.end.session.send(flow.id, flow.next(limit));
      if (flow.sent === flow.size) this.end.session.end(flow.id);
    }
  }

  /** Gives back part of what the owner sits on; true if there was any. */
  consume(limit: number): boolean {
    let any = false;
    for (const flow of this.in.values()) {
      const bytes = Math.min(limit, flow.owed);
      if (bytes === 0) continue;
      any = true;
      flow.owed -= bytes;
      this.end.session.consumed(flow.id, bytes);
    }
    return any;
  }

  /** Lets up to `limit` bytes cross to the other side; true if any did. */
  deliverTo(other: Side, budget: number, limit: number): boolean {
    const pulled = Buffer.concat(this.end.session.pull(budget));
    if (pulled.length > 0) parseFrames(pulled);
    this.#wire = Buffer.concat([this.#wire, pulled]);
    const piece = this.#wire.subarray(0, limit);
    this.#wire = this.#wire.subarray(piece.length);
    if (piece.length > 0) other.end.session.receive(piece);
    return piece.length > 0;
  }
}

interface Plan {
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly sizes: readonly { readonly up: number; readonly down: number }[];
  readonly steps: readonly number[];
  readonly slowReaders: boolean;
}

function run(plan: Plan): void {
  const common = {
    settings: { streamWindow: plan.streamWindow, connectionWindow: plan.connectionWindow },
    limits: { sendQueueBytes: 20_000, unconsumedBytes: 0 },
  };
  const client = new Side({ role: 'client', ...common });
  const server = new Side({ role: 'server', ...common });
  client.end.session.start();
  server.end.session.start();
  for (const { up, down } of plan.sizes) openFlow(client, server, up, down);
  let step = 0;
  const random = (max: number): number =>
    ((plan.steps[step++ % plan.steps.length] ?? 0) % max) + Math.ceil(max / 50);
  for (let idle = 0; idle < 50;) {
    const moved = turn(client, server, plan, random);
    const bothMoved = turn(server, client, plan, random);
    idle = moved || bothMoved ? 0 : idle + 1;
  }
  expectDelivered(client, server);
}

function openFlow(client: Side, server: Side, up: number, down: number): void {
  const id = client.end.session.openStream(connectFields);
  client.out.set(id, new Flow(id, up));
  server.in.set(id, new Flow(id, up));
  server.out.set(id, new Flow(id, down));
  client.in.set(id, new Flow(id, down));
}

function turn(from: Side, to: Side, plan: Plan, random: (max: number) => number): boolean {
  from.write(random(30_000));
  const moved = from.deliverTo(to, random(100_000), random(40_000));
  const consumed = to.consume(plan.slowReaders ? random(2000) : Number.POSITIVE_INFINITY);
  return moved || consumed;
}

function expectDelivered(client: Side, server: Side): void {
  for (const side of [client, server]) {
    for (const flow of side.in.values()) {
      expect({ id: flow.id, received: flow.received, ended: flow.ended }).toEqual({
        id: flow.id,
        received: flow.size,
        ended: true,
      });
    }
    const { openStreams, queuedBytes, unconsumedBytes, closed } = side.end.session;
    expect({ openStreams, queuedBytes, unconsumedBytes, closed }).toEqual({
      openStreams: 0,
      queuedBytes: 0,
      unconsumedBytes: 0,
      closed: false,
    });
  }
}

const size = integer({ min: 1, max: 150_000 });
const plans = record<Plan>({
  streamWindow: integer({ min: 1000, max: 200_000 }),
  connectionWindow: integer({ min: 65_535, max: 400_000 }),
  sizes: array(record({ up: size, down: size }), { minLength: 1, maxLength: 6 }),
  steps: array(nat(1 << 20), { minLength: 5, maxLength: 40 }),
  slowReaders: boolean(),
});

describe('two sessions', () => {
  it('deliver every byte in order, both ways at once, under random windows, paces and pieces', () => {
    assert(property(plans, run), { numRuns: 40 });
  });

  it('do not get stuck in a bulk transfer both ways over 50 streams and the smallest windows', () => {
    run({
      streamWindow: 65_535,
      connectionWindow: 65_535,
      sizes: Array.from({ length: 50 }, () => ({ up: 100_000, down: 100_000 })),
      steps: [1 << 20],
      slowReaders: false,
    });
  });

  it('do not get stuck when readers take a little at a time', () => {
    run({
      streamWindow: 1000,
      connectionWindow: 65_535,
      sizes: Array.from({ length: 10 }, () => ({ up: 40_000, down: 40_000 })),
      steps: [29_999, 99_999, 39_999, 700],
      slowReaders: true,
    });
  });

  it('keep a second stream flowing while the first is never read', () => {
    const client = new Side({ role: 'client' });
    const server = new Side({ role: 'server' });
    client.end.session.start();
    server.end.session.start();
    openFlow(client, server, 10 << 20, 1);
    openFlow(client, server, 10 << 20, 1);
    for (let i = 0; i < 4000; i++) {
      turn(client, server, { slowReaders: false } as Plan, () => 64 << 10);
      const unread = server.in.get(stream(1));
      if (unread !== undefined) server.in.delete(stream(1));
      turn(server, client, { slowReaders: false } as Plan, () => 64 << 10);
    }
    expect(server.in.get(stream(3))?.received).toBe(10 << 20);
  });
});
