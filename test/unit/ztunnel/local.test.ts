/** A connection that the kernel hands over because it has no verdict: whose it is, and what is left with the kernel. */
import { describe, expect, it } from '@jest/globals';
import type { Verdict } from '../../../src/model/connection.ts';
import type { AccessRequest } from '../../../src/policy/authorize.ts';
import { isRefusal } from '../../../src/ztunnel/facts.ts';
import { inboundSteps } from '../../../src/ztunnel/inbound.ts';
import { judgePlaintext, type KernelPathDoor } from '../../../src/ztunnel/local.ts';
import { at, meshOf, pod, service } from '../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.244.1.5'] });
const cart = pod('shop/cart', { ips: ['10.244.1.6'] });
const { view } = meshOf({
  workloads: [web, cart],
  services: [service('shop/cart', '10.96.0.10', '80:8080', [{ address: '10.244.1.6' }])],
});

const allow: Verdict = { allowed: true, policy: undefined, reason: 'no policy applies' };
const deny: Verdict = { allowed: false, policy: undefined, reason: 'no rule matched' };
const client = at('10.244.1.5:4000');
const local = at('10.244.1.6:8080');
const fromWeb = { type: 'pod', uid: web.uid, podId: 3, dialled: undefined } as const;

function arriveFrom(dialler: ReturnType<KernelPathDoor['dialler']>, verdict = allow) {
  const allowed: unknown[][] = [];
  const asked: AccessRequest[] = [];
  const door: KernelPathDoor = {
    dialler: () => dialler,
    generation: 7n,
    allow: (...answer) => void allowed.push(answer),
    scope: { node: web.node },
  };
  const steps = inboundSteps((_view, request) => {
    asked.push(request);
    return verdict;
  });
  const pods = { uid: cart.uid, identity: cart.identity, addresses: cart.addresses, netns: '' };
  const result = judgePlaintext(view, { type: 'plaintext', pod: pods, client, local }, door, steps);
  return { result, allowed, asked };
}

describe('a connection between pods of the node', () => {
  it('is judged by the identity that the kernel vouches for, and a yes is left with the kernel', () => {
    const { result, asked, allowed } = arriveFrom(fromWeb);
    expect(isRefusal(result)).toBe(false);
    expect(asked[0]).toMatchObject({ identity: web.identity, source: client });
    expect(allowed).toEqual([[3, client, local, cart.uid, 7n]]);
  });

  it('leaves nothing with the kernel when it is denied', () => {
    const { result, allowed } = arriveFrom(fromWeb, deny);
    expect(result).toMatchObject({ refused: { error: { code: 'POLICY_DENIED' } } });
    expect(allowed).toEqual([]);
  });

  it('is refused when it is nobody’s, whatever policies say of plaintext', () => {
    const { result, asked } = arriveFrom({ type: 'nobody', dialled: undefined });
    expect(result).toMatchObject({ refused: { error: { code: 'UNKNOWN_SOURCE' } } });
    expect(asked).toEqual([]);
  });

  it('to a Service is told with it, and judged and remembered as one to the pod that was reached', () => {
    const { result, allowed, asked } = arriveFrom({ ...fromWeb, dialled: at('10.96.0.10:80') });
    expect(result).toMatchObject({
      path: 'local',
      service: 'shop/cart',
      originalDestination: at('10.96.0.10:80'),
      destination: { address: local, workload: { name: 'cart' } },
      routes: [{ type: 'direct', target: local }],
    });
    expect(asked[0]).toMatchObject({ target: local });
    expect(allowed).toEqual([[3, client, local, cart.uid, 7n]]);
  });
});
