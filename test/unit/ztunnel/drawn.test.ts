/** A connection to a Service, of whose endpoints the kernel drew one and left it to ztunnel: each gets its share. */
import { describe, expect, it } from '@jest/globals';
import { formatSocketAddress } from '../../../src/base/ip.ts';
import type { Drawn } from '../../../src/datapath/abi/layout.ts';
import type { OutboundArrival } from '../../../src/net/engine.ts';
import { isRefusal } from '../../../src/ztunnel/facts.ts';
import { outboundFacts, outboundSteps } from '../../../src/ztunnel/outbound.ts';
import { SessionAffinity } from '../../../src/ztunnel/session-affinity.ts';
import { at, meshOf, pod, service } from '../../support/mesh-builder.ts';
import { noSessions } from './deciding.ts';

const web = pod('shop/web', { ips: ['10.244.1.5'] });
const workloads = [
  web,
  pod('shop/beside', { ips: ['10.244.1.6'] }),
  pod('shop/far', { ips: ['10.244.2.7'], node: 'node-b' }),
  pod('shop/farther', { ips: ['10.244.2.8'], node: 'node-b' }),
];
const addresses = workloads.flatMap((workload) => workload.addresses);
const shared = service(
  'shop/shared',
  '10.96.0.30',
  '80:8080',
  addresses.map((address) => ({ address })),
);
const { view } = meshOf({ workloads, services: [shared] });
const { view: withSessions } = meshOf({ workloads, services: [{ ...shared, affinityTimeoutMs: 1000 }] });

const original = at('10.96.0.30:80');
const arrival: OutboundArrival = {
  type: 'outbound',
  pod: { uid: web.uid, identity: web.identity, addresses: web.addresses, netns: '' },
  client: at('10.244.1.5:40000'),
  local: at('10.244.1.5:15001'),
};

interface Circumstances {
  readonly isOn?: boolean;
  readonly suspects?: readonly string[];
  readonly hasSessions?: boolean;
}

/** Where it goes, for as many numbers of chance as there are endpoints. */
function reached(
  drawn: Drawn,
  { isOn = true, suspects = [], hasSessions = false }: Circumstances = {},
): readonly string[] {
  const targets = [0, 0.25, 0.5, 0.75].map((chance) => {
    const balance = {
      random: () => chance,
      affinity: new SessionAffinity(() => 0, noSessions),
      isSuspect: (ip: string) => suspects.includes(ip),
      kernelPath: isOn ? { node: web.node } : undefined,
    };
    const steps = outboundSteps({ destination: original, drawn }, balance);
    const result = steps(outboundFacts(hasSessions ? withSessions : view, arrival, original));
    if (isRefusal(result)) throw result.refused.error;
    return formatSocketAddress(result.routes[0]?.target ?? original);
  });
  return [...new Set(targets)];
}

describe('it goes to one of the kind that was drawn:', () => {
  it.each([
    ['one that the kernel does not carry', 'other', ['10.244.2.7:8080', '10.244.2.8:8080']],
    ['one that it could not carry', 'kernel', ['10.244.1.6:8080']],
    ['the pod itself', 'itself', ['10.244.1.5:8080']],
  ] as const)('%s', (_, drawn, expected) => {
    expect(reached(drawn)).toEqual(expected);
  });
});

describe('it goes to any', () => {
  it('if none was drawn', () => {
    expect(reached('nothing')).toHaveLength(4);
  });

  it('if it has got sessions since: the client’s own endpoint counts', () => {
    const [sessions] = reached('nothing', { hasSessions: true });
    for (const drawn of ['itself', 'kernel', 'other'] as const) {
      expect(reached(drawn, { hasSessions: true })).toEqual([sessions]);
    }
  });

  it('if there is none of that kind any more', () => {
    expect(reached('kernel', { isOn: false })).toHaveLength(4);
    expect(reached('other', { suspects: ['10.244.2.7', '10.244.2.8'] })).toEqual([
      '10.244.1.5:8080',
      '10.244.1.6:8080',
    ]);
  });
});
