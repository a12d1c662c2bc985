/** Our node beside a small HBONE proxy on `node:http2`: another HTTP/2 stack and nothing of our data path. */
import { describe, expect, it, jest } from '@jest/globals';
import { exchange } from './support/apps.ts';
import { carries, drains } from './support/carrying.ts';
import { web } from './support/our-mesh.ts';
import { cart, identities, type StartProxy, targetsAt, trustDomain } from './support/pair.ts';
import { events, startHttp2Peer } from './support/peer.ts';
import { waitFor } from './support/processes.ts';

jest.setTimeout(120_000);

/** Its application dials it at these ports of its own loopback. */
const local = { open: { host: '127.0.0.1', port: 7000 }, guarded: { host: '127.0.0.1', port: 7001 } };

const startProxy: StartProxy = async (mesh, authority, peer) => ({
  ...local,
  process: await startHttp2Peer(mesh, {
    place: peer,
    authority,
    trustDomain,
    serviceAccount: cart.serviceAccount,
    forwards: (['open', 'guarded'] as const).map((which) => ({
      port: local[which].port,
      via: { host: web.ip, port: 15_008 },
      authority: `${web.ip}:${targetsAt(web.ip)[which].port}`,
    })),
  }),
});

describe('our node and an HBONE proxy on node:http2', () => {
  const pair = carries(startProxy);

  it('sends it CONNECT with authority, baggage, forwarded and traceparent, proved by our certificate', async () => {
    const { proxy, fromUs } = pair();
    await exchange(fromUs.parties, fromUs.open);
    const request = (await events(proxy, 'request')).at(-1);
    expect(request).toMatchObject({
      method: 'CONNECT',
      authority: `${cart.ip}:8080`,
      identity: identities.web,
      headers: {
        baggage: expect.stringContaining('k8s.namespace.name=shop'),
        forwarded: expect.stringMatching(/^for="10\.91\.1\.5:\d+"$/),
        traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/),
      },
    });
  });

  it('answers its CONNECT with 401 where policy refuses', async () => {
    const { proxy, fromThem } = pair();
    await exchange(fromThem.parties, fromThem.guarded);
    expect((await events(proxy, 'response')).at(-1)).toMatchObject({ status: 401 });
  });

  it.each([
    ['from our pod to theirs', 'fromUs'],
    ['from their pod to ours', 'fromThem'],
  ] as const)('passes on that an application reset its connection: %s', async (_, way) => {
    const { parties, open } = pair()[way];
    const [only] = await exchange(parties, { ...open, up: 1000, down: 0, abort: true });
    const report = () => parties.server.lines().find(({ id }) => id === only?.client.id);
    await waitFor('the server to see its end', () => report() !== undefined);
    expect(report()).toMatchObject({ received: 1000, outcome: 'ECONNRESET' });
  });

  drains(pair);

  it('was sent GOAWAY without an error at that stop', async () => {
    expect(await events(pair().proxy, 'goaway')).toContainEqual({ event: 'goaway', code: 0 });
  });
});
