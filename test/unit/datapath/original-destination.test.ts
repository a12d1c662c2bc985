/** Asking what an accepted connection had dialled, counting, and learning cookies: the small readers of maps. */
import { describe, expect, it } from '@jest/globals';
import type { Flow, FlowKey, Origin } from '../../../src/datapath/abi/layout.ts';
import { readCounters } from '../../../src/datapath/counters.ts';
import { findNetnsCookie } from '../../../src/datapath/netns-cookie.ts';
import { takeOriginalDestination } from '../../../src/datapath/original-destination.ts';
import { parseIp } from '../../../src/base/ip.ts';
import { at } from '../../support/mesh-builder.ts';

const native = (known: bigint | null) => ({
  netnsCookie: () => Promise.resolve(known),
  probeConnect: () => Promise.resolve(55n),
});

/** Knows what was asked with socket 55. */
const cookies = (answer: bigint | undefined) => ({
  take: (socket: bigint) => (socket === 55n ? answer : undefined),
});

describe('an accepted connection', () => {
  const asked: FlowKey[] = [];
  const recorded = (origin: Origin | undefined) => ({
    take(key: FlowKey): Flow | undefined {
      asked.push(key);
      return origin && { socketCookie: 1n, origin, openedAt: 1n, stage: 'new', closed: false };
    },
  });
  const captured: Origin = {
    kind: 'captured',
    podId: 7,
    originalIp: parseIp('10.96.0.1'),
    originalPort: 80,
    drawn: 'nothing',
  };
  const ask = (origin: Origin | undefined): ReturnType<typeof takeOriginalDestination> =>
    takeOriginalDestination(recorded(origin), at('10.0.0.1:4001'), at('10.0.0.1:15001'));

  it('has the destination its client dialled, found by its tuple', () => {
    expect(ask(captured)).toEqual({ destination: at('10.96.0.1:80'), podId: 7, drawn: 'nothing' });
    expect(asked.at(-1)).toEqual({
      sourceIp: '10.0.0.1',
      sourcePort: 4001,
      destinationIp: '10.0.0.1',
      destinationPort: 15001,
    });
  });

  it('has none if it was not captured', () => {
    expect(ask(undefined)).toBeUndefined();
    expect(ask({ ...captured, kind: 'host' })).toBeUndefined();
    expect(ask({ ...captured, originalIp: undefined })).toBeUndefined();
  });
});

describe('counters', () => {
  it('are summed over the CPUs and called by name', () => {
    const entries: [number, bigint][] = [
      [0, 2n],
      [0, 3n],
      [2, 1n],
    ];
    const counters = readCounters({ entries: () => entries });
    expect(counters).toMatchObject({ captured: 5n, capturedUnknown: 0n, direct: 1n });
  });
});

describe('a namespace’s cookie', () => {
  it('comes from the kernel where it can tell', async () => {
    await expect(findNetnsCookie({ native: native(9n), cookies: cookies(undefined) }, '/n')).resolves.toBe(
      9n,
    );
  });

  it('comes from the connect program on older kernels', async () => {
    await expect(findNetnsCookie({ native: native(null), cookies: cookies(8n) }, '/n')).resolves.toBe(8n);
  });

  it('is an error, not a guess, if neither knows', async () => {
    await expect(
      findNetnsCookie({ native: native(null), cookies: cookies(undefined) }, '/n'),
    ).rejects.toMatchObject({ code: 'NETNS' });
  });
});
