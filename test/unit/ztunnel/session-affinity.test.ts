/** `sessionAffinity: ClientIP`: whose connections stay together, and for how long. */
import { describe, expect, it } from '@jest/globals';
import { formatSocketAddress, parseIp, type SocketAddress } from '../../../src/base/ip.ts';
import { serviceKey } from '../../../src/model/mesh.ts';
import {
  SessionAffinity,
  type SessionKey,
  type SessionsInKernel,
} from '../../../src/ztunnel/session-affinity.ts';
import { at } from '../../support/mesh-builder.ts';
import { noSessions } from './deciding.ts';

const minute = 60_000;
const endpoints = Array.from({ length: 10 }, (_, i) => at(`10.0.0.${i + 1}:8080`));
const from = (client: string): SessionKey => ({
  client: parseIp(client),
  service: serviceKey('shop', 'cart'),
  dialled: at('10.96.0.1:80'),
  byKernel: true,
});
const web = from('10.1.0.1');

function setup(capacity?: number) {
  let now = 0;
  const affinity = new SessionAffinity(() => now, noSessions, capacity);
  const ask = (session: SessionKey, usable: readonly SocketAddress[] = endpoints): string => {
    const endpoint = affinity.endpointFor(session, usable, minute);
    return endpoint === undefined ? 'none' : formatSocketAddress(endpoint);
  };
  return { ask, tick: (ms: number) => (now += ms) };
}

const without = (name: string): SocketAddress[] =>
  endpoints.filter((endpoint) => formatSocketAddress(endpoint) !== name);

describe('a client’s session', () => {
  it('keeps its endpoint while others come and go', () => {
    const { ask } = setup();
    const first = ask(web, endpoints.slice(0, 2));
    for (const usable of [endpoints, endpoints.toReversed(), endpoints.slice(0, 2)]) {
      expect(ask(web, usable)).toBe(first);
    }
  });

  it('gets another endpoint when its own may be used no more, and then keeps that', () => {
    const { ask } = setup();
    const first = ask(web);
    const second = ask(web, without(first));
    expect(second).not.toBe(first);
    expect(ask(web)).toBe(second);
  });

  it('lasts as long as there are connections, and not longer than the timeout after the last', () => {
    const { ask, tick } = setup();
    const first = ask(web);
    const second = ask(web, without(first));
    tick(minute - 1);
    expect(ask(web)).toBe(second);
    tick(minute - 1);
    expect(ask(web)).toBe(second);
    tick(minute);
    // Forgotten: the client is where it would have begun.
    expect(ask(web)).toBe(first);
  });

  it('goes on in a node program that starts anew', () => {
    const clients = Array.from({ length: 50 }, (_, i) => from(`10.1.0.${i + 1}`));
    const [before, after] = [setup(), setup()];
    expect(clients.map((client) => after.ask(client))).toEqual(clients.map((client) => before.ask(client)));
  });

  it('is its own for each of a Service’s ports, and each Service', () => {
    const { ask } = setup();
    const first = ask(web);
    ask({ ...web, dialled: at('10.96.0.1:81') }, without(first));
    ask({ ...web, service: serviceKey('shop', 'other') }, without(first));
    expect(ask(web)).toBe(first);
  });

  it('does not begin when there is no endpoint', () => {
    const { ask } = setup();
    expect(ask(web, [])).toBe('none');
    expect(ask(web)).not.toBe('none');
  });
});

describe('many clients', () => {
  it('are spread over the endpoints', () => {
    const { ask } = setup();
    const counts = new Map<string, number>();
    for (let i = 0; i < 2000; i++) {
      const endpoint = ask(from(`10.1.${i >> 8}.${i & 255}`));
      counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
    }
    expect(counts.size).toBe(endpoints.length);
    for (const count of counts.values()) expect(Math.abs(count - 200)).toBeLessThan(60);
  });

  it('cost bounded memory: whoever called longest ago is forgotten first', () => {
    const { ask } = setup(2);
    const [old, recent] = [from('10.1.0.1'), from('10.1.0.2')];
    const began = [old, recent].map((client) => ask(client));
    const moved = [old, recent].map((client, i) => ask(client, without(began[i] ?? '')));
    expect(ask(old)).toBe(moved[0]);
    ask(from('10.1.0.3'));
    expect(ask(old)).toBe(moved[0]);
    expect(ask(recent)).toBe(began[1]);
  });
});

/** The first half of the endpoints is on the kernel path. */
const carried = endpoints.slice(0, 5);
/** One that begins on the kernel path. */
const near = Array.from({ length: 20 }, (_, i) => from(`10.1.0.${i + 1}`)).find((client) =>
  carried.some((endpoint) => formatSocketAddress(endpoint) === setup().ask(client)),
);

/** As the connect hook and its map do, with a clock that both have. */
function setupWithKernel() {
  let now = 0;
  let isFull = false;
  const map = new Map<string, { endpoint: SocketAddress; usedAt: number }>();
  const inKernel: SessionsInKernel = {
    find(session) {
      const entry = map.get(session.client);
      return entry && { endpoint: entry.endpoint, idleMs: now - entry.usedAt };
    },
    keep(session, endpoint) {
      const isCarried = carried.some((each) => formatSocketAddress(each) === formatSocketAddress(endpoint));
      if (!isCarried || (isFull && !map.has(session.client))) return false;
      map.set(session.client, { endpoint, usedAt: now });
      return true;
    },
    forget: (session) => void map.delete(session.client),
  };
  let affinity = new SessionAffinity(() => now, inKernel);
  return {
    map,
    tick: (ms: number) => (now += ms),
    fill: () => (isFull = true),
    restart: () => (affinity = new SessionAffinity(() => now, inKernel)),
    doubt: (session: SessionKey) => affinity.doubt(session),
    /** The client dials, and ztunnel gets it. */
    ask: (session: SessionKey, usable: readonly SocketAddress[] = endpoints): string => {
      const endpoint = affinity.endpointFor(session, usable, minute);
      return endpoint === undefined ? 'none' : formatSocketAddress(endpoint);
    },
    /** The client dials, and the kernel goes on; undefined: it leaves it to ztunnel. */
    dial: (session: SessionKey): string | undefined => {
      const entry = map.get(session.client);
      if (entry === undefined || now - entry.usedAt >= minute) return undefined;
      entry.usedAt = now;
      return formatSocketAddress(entry.endpoint);
    },
  };
}

describe('a session that the kernel goes on with', () => {
  if (near === undefined) throw new Error('no client begins on the kernel path');

  it('leads to the same endpoint by both', () => {
    const { ask, dial } = setupWithKernel();
    expect(dial(near)).toBeUndefined();
    const first = ask(near);
    expect(dial(near)).toBe(first);
    expect(ask(near, endpoints.toReversed())).toBe(first);
    expect(dial(near)).toBe(first);
  });

  it('is not left with it where the client’s pod asks for HBONE, and no more when that begins to', () => {
    const { ask, map } = setupWithKernel();
    const first = ask({ ...near, byKernel: false });
    expect(map.size).toBe(0);
    expect(ask(near)).toBe(first);
    expect(map.size).toBe(1);
    expect(ask({ ...near, byKernel: false })).toBe(first);
    expect(map.size).toBe(0);
  });

  it('lasts by what the kernel carries, too, and not longer', () => {
    const { ask, dial, tick } = setupWithKernel();
    const first = ask(near);
    // Not where it would begin, so that going on with it can be told from beginning anew.
    const second = ask(
      near,
      carried.filter((endpoint) => formatSocketAddress(endpoint) !== first),
    );
    for (let i = 0; i < 3; i++) {
      tick(minute - 1);
      expect(dial(near)).toBe(second);
    }
    tick(minute - 1);
    expect(ask(near)).toBe(second);
    tick(minute);
    expect(dial(near)).toBeUndefined();
    expect(ask(near)).toBe(first);
  });

  it('goes on in a node program that starts anew, though endpoints were added', () => {
    const { ask, dial, restart } = setupWithKernel();
    const first = ask(near);
    const second = ask(
      near,
      carried.filter((endpoint) => formatSocketAddress(endpoint) !== first),
    );
    restart();
    expect(ask(near)).toBe(second);
    expect(dial(near)).toBe(second);
  });

  it('is ztunnel’s as soon as it leads elsewhere', () => {
    const { ask, dial, map } = setupWithKernel();
    ask(near);
    const far = ask(near, endpoints.slice(5));
    expect(dial(near)).toBeUndefined();
    expect(map.size).toBe(0);
    expect(ask(near)).toBe(far);
    expect(ask(near, [])).toBe('none');
  });

  it('asks ztunnel next when its endpoint failed a connection', () => {
    const { ask, dial, doubt } = setupWithKernel();
    const first = ask(near);
    doubt(near);
    expect(dial(near)).toBeUndefined();
    expect(ask(near)).toBe(first);
  });

  it('keeps its endpoint where the kernel has no room for it', () => {
    const { ask, dial, fill } = setupWithKernel();
    fill();
    const first = ask(near);
    expect(dial(near)).toBeUndefined();
    expect(ask(near, endpoints.toReversed())).toBe(first);
  });

  it('whichever of the two has used it last knows where it leads', () => {
    const { ask, map, tick } = setupWithKernel();
    const first = ask(near);
    tick(1000);
    const far = ask(near, endpoints.slice(5));
    // Could not be removed.
    map.set(near.client, { endpoint: at(first), usedAt: 0 });
    expect(ask(near)).toBe(far);
  });
});
