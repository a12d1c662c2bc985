import { describe, expect, it } from '@jest/globals';
import type { KernelPathDoor } from '../../../src/ztunnel/local.ts';
import { at } from '../../support/mesh-builder.ts';
import { web, cart, allow, deny, setup, enginePod, routesOf } from './deciding.ts';

const kernelPath = (dialler: ReturnType<KernelPathDoor['dialler']>) => {
  const allowed: unknown[][] = [];
  const door: KernelPathDoor = {
    dialler: () => dialler,
    generation: 7n,
    allow: (...answer) => void allowed.push(answer),
    scope: { node: web.node },
  };
  return { door, allowed };
};

describe('a connection that the kernel hands over because it has no verdict', () => {
  const client = at('10.0.0.1:4000');
  const arriveFrom = (dialler: ReturnType<KernelPathDoor['dialler']>, verdict = allow) => {
    const { door, allowed } = kernelPath(dialler);
    const known = setup({ kernelPath: door, verdict });
    const local = { ip: cart.addresses[0] ?? client.ip, port: at('10.0.0.1:8080').port };
    const decision = known.decide({ type: 'plaintext', pod: enginePod(cart), client, local });
    return { ...known, decision, allowed, local };
  };
  const fromWeb = { type: 'pod', uid: web.uid, podId: 3, dialled: undefined } as const;

  it('is judged by the identity that the kernel vouches for, and a yes is left with the kernel', () => {
    const { asked, allowed, decision, local } = arriveFrom(fromWeb);
    expect(decision.type).toBe('forward');
    expect(asked[0]).toMatchObject({ identity: web.identity, source: client });
    expect(allowed).toEqual([[3, client, local, cart.uid, 7n]]);
  });

  it('leaves nothing with the kernel when it is denied', () => {
    const { allowed, decision } = arriveFrom(fromWeb, deny);
    expect(decision.type).toBe('refuse');
    expect(allowed).toEqual([]);
  });

  it('is refused when it is nobody’s, whatever policies say of plaintext', () => {
    const { decision, asked } = arriveFrom({ type: 'nobody', dialled: undefined });
    expect(decision).toMatchObject({ type: 'refuse', error: { code: 'UNKNOWN_SOURCE' } });
    expect(asked).toEqual([]);
  });

  it('is told with the Service it dialled, of the pod that was reached', () => {
    const { decision, opened, allowed, local } = arriveFrom({ ...fromWeb, dialled: at('10.96.0.10:80') });
    const [route] = routesOf(decision);
    if (route === undefined || decision.type !== 'forward') throw new Error('no route');
    decision.observer.established(route, { counts: () => ({ sent: 0, received: 0 }), close: () => {} });
    expect(opened[0]?.summary()).toMatchObject({
      path: 'local',
      service: 'shop/cart',
      originalDestination: at('10.96.0.10:80'),
      destination: { address: local },
    });
    expect(allowed).toEqual([[3, client, local, cart.uid, 7n]]);
  });
});
