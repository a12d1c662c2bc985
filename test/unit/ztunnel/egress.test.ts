/** Connections that came to ztunnel and would go on in plaintext: only where a NamespaceAccess lets them. */
import { describe, expect, it } from '@jest/globals';
import type { OutboundArrival } from '../../../src/net/engine.ts';
import { isRefusal } from '../../../src/ztunnel/facts.ts';
import { outboundFacts, outboundSteps } from '../../../src/ztunnel/outbound.ts';
import { furtherRoutes } from '../../../src/ztunnel/resolve.ts';
import { SessionAffinity } from '../../../src/ztunnel/session-affinity.ts';
import { access, rule } from '../../support/egress.ts';
import { at, meshOf, pod, service } from '../../support/mesh-builder.ts';
import { noSessions } from './deciding.ts';

const web = pod('shop/web', { ips: ['10.244.1.5'] });
const meshed = pod('shop/meshed', { ips: ['10.244.2.7'] });
const bare = pod('shop/bare', { ips: ['10.244.2.9'], protocol: 'tcp' });

const mesh = (...rules: readonly ReturnType<typeof rule>[]) =>
  meshOf({
    workloads: [web, meshed, bare],
    services: [
      service('shop/mixed', '10.96.0.1', '80:80', [{ address: '10.244.2.9' }, { address: '10.244.2.7' }]),
      service('shop/bare', '10.96.0.2', '80:80', [{ address: '10.244.2.9' }]),
    ],
    access: [access('shop/closed', { egress: { default: 'deny', rules } })],
  });

/** What becomes of it, and where it would be tried after that. */
function decide(dialled: string, ...rules: readonly ReturnType<typeof rule>[]) {
  const reader = mesh(...rules);
  const pods = { uid: web.uid, identity: web.identity, addresses: web.addresses, netns: '' };
  const arrival: OutboundArrival = {
    type: 'outbound',
    pod: pods,
    client: at('10.244.1.5:40000'),
    local: at('10.244.1.5:15001'),
  };
  const original = at(dialled);
  const balance = {
    random: () => 0,
    affinity: new SessionAffinity(() => 0, noSessions),
    isSuspect: () => false,
    kernelPath: undefined,
  };
  const result = outboundSteps(
    { destination: original, drawn: 'nothing' },
    balance,
  )(outboundFacts(reader.view, arrival, original));
  if (isRefusal(result)) return result;
  return { ...result, next: furtherRoutes(result, reader, balance)() };
}

describe('a captured connection', () => {
  it('to a destination outside of the mesh is refused, and by which object', () => {
    for (const dialled of ['8.8.8.8:443', '10.244.2.9:80', '10.96.0.2:80']) {
      const result = decide(dialled);
      if (!isRefusal(result)) throw new Error(`${dialled} was let through`);
      expect(result.refused).toMatchObject({ hop: 'policy', error: { code: 'POLICY_DENIED' } });
      expect(result.facts.verdict).toMatchObject({ allowed: false, policy: 'namespaceaccess/shop/closed' });
    }
  });

  it('to a Service with endpoints in and outside of the mesh goes to those inside, and nowhere else after them', () => {
    const result = decide('10.96.0.1:80');
    if (isRefusal(result)) throw result.refused.error;
    expect(result).toMatchObject({ path: 'tunnel', destination: { workload: { name: 'meshed' } } });
    expect(result.next).toBeUndefined();
  });

  it('goes to any of them where a rule allows what was dialled', () => {
    const result = decide('10.96.0.1:80', rule('allow', 'shop/mixed'));
    if (isRefusal(result)) throw result.refused.error;
    expect([result.routes[0]?.type, result.next?.type]).toEqual(['direct', 'hbone']);
  });

  it('into the mesh is not egress', () => {
    expect(isRefusal(decide('10.244.2.7:80'))).toBe(false);
  });
});
