import { describe, expect, it } from '@jest/globals';
import type { Clock } from '../../../../src/base/clock.ts';
import { MeshError } from '../../../../src/base/errors.ts';
import type { ByteEnd, ByteSink } from '../../../../src/net/tunnel/byte-end.ts';
import { Relay } from '../../../../src/net/tunnel/relay.ts';

/** An end that does nothing by itself and records what it was told to do. */
class FakeEnd implements ByteEnd {
  readonly did: string[] = [];
  sink: ByteSink | undefined;
  room = true;
  bufferedBytes = 0;

  attach(sink: ByteSink): void {
    this.sink = sink;
  }
  resume(): void {
    this.did.push('resume');
  }
  pause(): void {
    this.did.push('pause');
  }
  write(bytes: Uint8Array): boolean {
    this.did.push(`write ${String(bytes)}`);
    return this.room;
  }
  end(): void {
    this.did.push('end');
  }
  reset(error: MeshError): void {
    this.did.push(`reset ${error.code}`);
  }
}

function setUp() {
  let timer: (() => void) | undefined;
  const clock: Clock = {
    now: () => 0,
    random: () => 0,
    after(_delayMs, callback) {
      timer = callback;
      return () => (timer = undefined);
    },
  };
  const near = new FakeEnd();
  const far = new FakeEnd();
  const outcomes: (string | undefined)[] = [];
  const owner = { carried: (error: MeshError | undefined) => void outcomes.push(error?.code) };
  const relay = new Relay(near, far, { clock, halfCloseLingerMs: 1 }, owner);
  relay.start();
  near.did.length = far.did.length = 0;
  return { near, far, relay, outcomes, linger: () => timer?.(), lingers: () => timer !== undefined };
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe('a relay', () => {
  it('passes bytes on both ways and counts them from the arriving side', () => {
    const { near, far, relay } = setUp();
    near.sink?.data(bytes('question'));
    far.sink?.data(bytes('yes'));
    expect(far.did).toEqual(['write question']);
    expect(near.did).toEqual(['write yes']);
    expect(relay.counts()).toEqual({ sent: 8, received: 3 });
  });

  it('pauses only the direction whose receiver is full, until that has room', () => {
    const { near, far } = setUp();
    far.room = false;
    near.sink?.data(bytes('x'));
    far.sink?.data(bytes('y'));
    expect(near.did).toEqual(['pause', 'write y']);
    expect(far.did).toEqual(['write x']);
    far.sink?.writable();
    expect(near.did.at(-1)).toBe('resume');
  });

  it('passes a half-close on, and is done when both ends have finished', () => {
    const { near, far, outcomes } = setUp();
    near.sink?.ended();
    expect(far.did).toEqual(['end']);
    far.sink?.ended();
    expect(near.did).toEqual(['end']);
    far.sink?.finished();
    expect(outcomes).toEqual([]);
    near.sink?.finished();
    expect(outcomes).toEqual([undefined]);
  });

  it('turns the failure of one end into a reset of the other', () => {
    const { near, far, outcomes } = setUp();
    near.sink?.failed(new MeshError('APPLICATION_RESET', 'x'));
    expect(far.did).toEqual(['reset APPLICATION_RESET']);
    expect(outcomes).toEqual(['APPLICATION_RESET']);
  });

  it('is done once, even when both ends fail', () => {
    const { near, far, relay, outcomes } = setUp();
    near.sink?.failed(new MeshError('APPLICATION_RESET', 'x'));
    far.sink?.failed(new MeshError('STREAM_RESET', 'x'));
    relay.abort(new MeshError('POD_REMOVED', 'x'));
    expect(outcomes).toEqual(['APPLICATION_RESET']);
  });

  it('does not watch the time before one side has closed', () => {
    const { near, lingers } = setUp();
    near.sink?.data(bytes('x'));
    expect(lingers()).toBe(false);
  });

  it('ends a half-closed connection when nothing has moved for the linger time', () => {
    const { near, far, outcomes, linger } = setUp();
    near.sink?.ended();
    far.sink?.data(bytes('x'));
    linger();
    expect(outcomes).toEqual([]);
    linger();
    expect(outcomes).toEqual(['TIMEOUT']);
    expect(near.did.at(-1)).toBe('reset TIMEOUT');
  });

  it('counts what drains from a buffer as movement', () => {
    const { near, far, outcomes, linger } = setUp();
    far.bufferedBytes = 100;
    near.sink?.ended();
    far.bufferedBytes = 50;
    linger();
    expect(outcomes).toEqual([]);
  });

  it('forgets the time when it is done', () => {
    const { near, far, lingers } = setUp();
    near.sink?.ended();
    far.sink?.failed(new MeshError('STREAM_RESET', 'x'));
    expect(lingers()).toBe(false);
  });
});
