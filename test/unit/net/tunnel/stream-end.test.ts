import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import type { StreamId, TunnelSession } from '../../../../src/net/h2/contract.ts';
import { StreamEnd } from '../../../../src/net/tunnel/stream-end.ts';

/** A session that only counts what it is told was consumed. */
function setup() {
  const told: string[] = [];
  const consumed: number[] = [];
  const session = {
    consumed: (_stream: StreamId, bytes: number) => void consumed.push(bytes),
    end: () => {},
    reset: () => {},
    respond: () => {},
    queuedOn: () => 0,
  } as unknown as TunnelSession;
  const end = new StreamEnd(session, 1 as StreamId, { flush: () => true, forget() {} });
  end.attach({
    data: () => {},
    ended: () => void told.push('ended'),
    finished: () => void told.push('finished'),
    failed: () => void told.push('failed'),
    writable: () => {},
  });
  const total = (): number => consumed.reduce((sum, bytes) => sum + bytes, 0);
  return { end, total, told };
}

describe('what a stream received and nobody read', () => {
  it('is given back when the stream finishes in order while its reader is slow', () => {
    const { end, total } = setup();
    end.resume();
    end.pause();
    end.onData(new Uint8Array(1000));
    end.onEnd();
    expect(total()).toBe(0);
    end.end();
    end.onSent();
    expect(total()).toBe(1000);
  });

  it('is given back when the stream is reset', () => {
    const { end, total } = setup();
    end.resume();
    end.pause();
    end.onData(new Uint8Array(700));
    end.reset(new MeshError('POD_REMOVED', 'gone'));
    expect(total()).toBe(700);
  });

  it('is given back when the stream is refused, and so is what still arrives', () => {
    const { end, total } = setup();
    end.onData(new Uint8Array(300));
    end.refuse(new MeshError('POLICY_DENIED', 'no'));
    end.onData(new Uint8Array(200));
    expect(total()).toBe(500);
  });
});

describe('a stream that both sides have ended', () => {
  it('is finished only when everything written was sent', () => {
    const { end, told } = setup();
    end.resume();
    end.onEnd();
    end.end();
    expect(told).toEqual(['ended']);
    end.onSent();
    expect(told).toEqual(['ended', 'finished']);
  });

  it('fails when the peer resets it before everything was sent', () => {
    const { end, told } = setup();
    end.resume();
    end.onEnd();
    end.end();
    end.onReset(new MeshError('STREAM_RESET', 'gone'));
    expect(told).toEqual(['ended', 'failed']);
  });
});
