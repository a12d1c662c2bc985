/** `sessionAffinity: ClientIP`: whose connections stay together, and for how long. */
import { describe, expect, it } from '@jest/globals';
import { formatSocketAddress, parseIp, parsePort, type SocketAddress } from '../../../src/base/ip.ts';
import { serviceKey } from '../../../src/model/mesh.ts';
import { SessionAffinity, type SessionKey } from '../../../src/ztunnel/session-affinity.ts';
import { at } from '../../support/mesh-builder.ts';

const minute = 60_000;
const endpoints = Array.from({ length: 10 }, (_, i) => at(`10.0.0.${i + 1}:8080`));
const from = (client: string): SessionKey => ({
  client: parseIp(client),
  service: serviceKey('shop', 'cart'),
  port: parsePort(80),
});
const web = from('10.1.0.1');

function setup(capacity?: number) {
  let now = 0;
  const affinity = new SessionAffinity(() => now, capacity);
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
    ask({ ...web, port: parsePort(81) }, without(first));
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
