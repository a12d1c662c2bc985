/**
 * Who is refused, by ztunnel and by us: another trust domain, although its certificates come from the same keys; and
 * certificates of an authority that the other does not know.
 */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { exchange, type Exchanging, serveApp, whole, wholeOf } from '../support/apps.ts';
import { type Authority, OurMesh, web } from '../support/our-mesh.ts';
import { cart, targetsAt, trustDomain } from '../support/pair.ts';
import { startHttp2Peer } from '../support/peer.ts';
import { type Process, waitFor } from '../support/processes.ts';
import type { Member } from '../support/topology.ts';
import { accessLog, ready, startZtunnel } from '../support/ztunnel.ts';

jest.setTimeout(180_000);

const other = 'other.local';
/** Each is a machine with a ztunnel and an application, but for `probe`, which has a hand-made proxy. */
const stranger = { name: 'stranger', serviceAccount: 'stranger', ip: '10.91.2.6' } as const;
const forger = { name: 'forger', serviceAccount: 'forger', ip: '10.91.2.7' } as const;
const probe = { name: 'probe', serviceAccount: 'probe', ip: '10.91.2.8' } as const;

const refusesTrustDomain = ({ error }: Readonly<Record<string, unknown>>): boolean =>
  String(error).includes('SanTrustDomainError');

interface Machine {
  readonly place: Member;
  readonly ztunnel: Process;
  readonly app: Process;
}

describe('trust between our node and Istio’s ztunnel', () => {
  const mesh = new OurMesh([cart, stranger, forger, probe]);
  let authorities: Readonly<Record<'main' | 'sameKeys' | 'unknown', Authority>>;
  let node: Process;
  let ours: Process;
  const machines = new Map<string, Machine>();

  beforeAll(async () => {
    const main = await mesh.startAuthority({ name: 'main', port: 15_012, trustDomain });
    authorities = {
      main,
      sameKeys: await mesh.startAuthority({ name: 'same', port: 15_013, trustDomain: other, keysOf: main }),
      unknown: await mesh.startAuthority({ name: 'unknown', port: 15_014, trustDomain }),
    };
    node = await mesh.startNode(main, trustDomain);
    ours = await serveApp(mesh.topology, web.name, mesh.pod);
    await startMachine(cart, trustDomain, main);
    await startMachine(stranger, other, authorities.sameKeys);
    await startMachine(forger, trustDomain, authorities.unknown);
  }, 180_000);
  afterAll(() => mesh.close(), 120_000);

  async function startMachine(
    self: typeof cart | typeof stranger | typeof forger,
    domain: string,
    authority: Authority,
  ) {
    const place = mesh.topology.addPeer(self.name, self.ip);
    const ztunnel = startZtunnel(mesh, {
      peer: place,
      self: { ...self, trustDomain: domain },
      others: [
        { ...web, trustDomain },
        { ...probe, trustDomain: other },
      ],
      authority,
      tokenFile: mesh.token(authority, '--service-account', `shop/${self.serviceAccount}`),
    });
    await ready(ztunnel);
    machines.set(self.name, { place, ztunnel, app: await serveApp(mesh.topology, self.name, place) });
  }

  const machine = (name: string): Machine => {
    const found = machines.get(name);
    if (found === undefined) throw new Error(`${name} did not start`);
    return found;
  };
  const toUs = (name: string) => {
    const parties: Exchanging = { topology: mesh.topology, from: machine(name).place, server: ours };
    return exchange(parties, targetsAt(web.ip).open);
  };
  const fromUs = ({ name, ip }: { readonly name: string; readonly ip: string }) => {
    const parties: Exchanging = { topology: mesh.topology, from: mesh.pod, server: machine(name).app };
    return exchange(parties, targetsAt(ip).open);
  };
  const expectRefused = async (tried: ReturnType<typeof toUs>): Promise<void> => {
    const [only] = await tried;
    expect(only?.client).toMatchObject({ outcome: 'ECONNRESET', received: 0 });
    expect(only?.server).toBeUndefined();
  };
  const lastError = async (direction: 'inbound' | 'outbound') =>
    (await mesh.recent()).findLast((connection) => connection.direction === direction)?.error;

  it('carries where trust domain and authority agree: the control of all that follow', async () => {
    for (const [only] of [await toUs('cart'), await fromUs(cart)]) {
      expect(only && whole(only)).toEqual(wholeOf(1000, 1000));
    }
  });

  it('refuses a ztunnel of another trust domain that dials us', async () => {
    await expectRefused(toUs('stranger'));
    await waitFor('our log to say so', () => node.output().includes('"TRUST_DOMAIN"'));
  });

  it('refuses a ztunnel of another trust domain that we dial', async () => {
    await expectRefused(fromUs(stranger));
    expect(await lastError('outbound')).toMatchObject({ code: 'TRUST_DOMAIN' });
  });

  it('refuses a ztunnel with a certificate of an unknown authority, dialling or dialled', async () => {
    await expectRefused(toUs('forger'));
    await expectRefused(fromUs(forger));
    expect(await lastError('outbound')).toMatchObject({ code: 'CERTIFICATE_INVALID' });
  });

  it('is refused by a ztunnel of another trust domain, as is everybody of ours', async () => {
    const place = mesh.topology.addPeer(probe.name, probe.ip);
    const forwards = [
      { port: 7000, via: { host: cart.ip, port: 15_008 }, authority: `${cart.ip}:8080` },
      { port: 7001, via: { host: stranger.ip, port: 15_008 }, authority: `${stranger.ip}:8080` },
    ];
    await startHttp2Peer(mesh, {
      place,
      authority: authorities.main,
      trustDomain,
      serviceAccount: probe.serviceAccount,
      forwards,
    });
    const from = { topology: mesh.topology, from: place };
    const [same] = await exchange(
      { ...from, server: machine('cart').app },
      { host: '127.0.0.1', port: 7000 },
    );
    expect(same && whole(same)).toEqual(wholeOf(1000, 1000));
    const refused = exchange({ ...from, server: machine('stranger').app }, { host: '127.0.0.1', port: 7001 });
    await expectRefused(refused);
    expect(await accessLog(machine('stranger').ztunnel, refusesTrustDomain)).toContainEqual(
      expect.objectContaining({ direction: 'inbound', message: 'connection failed' }),
    );
  });

  async function startLate(
    name: string,
    ip: string,
    domain: string,
    authorityRoot: string,
  ): Promise<Machine> {
    const place = mesh.topology.addPeer(name, ip);
    const ztunnel = startZtunnel(mesh, {
      peer: place,
      self: { name, serviceAccount: name, ip, trustDomain: domain },
      others: [{ ...web, trustDomain }],
      authority: authorities.main,
      authorityRoot,
      tokenFile: mesh.token(authorities.main, '--service-account', `shop/${name}`),
    });
    await ready(ztunnel);
    return { place, ztunnel, app: ours };
  }

  it('is given no certificate of another trust domain by our authority', async () => {
    const { rootFile } = authorities.main;
    machines.set('late', await startLate('late', '10.91.2.9', other, rootFile));
    await expectRefused(toUs('late'));
    const refusals = mesh.authorityLog('main').filter(({ audit }) => audit === 'refused');
    expect(refusals.at(-1)).toMatchObject({
      caller: 'workload/shop/late',
      status: 'PERMISSION_DENIED',
      reason: expect.stringContaining('trust domain'),
    });
  });

  it('takes no certificate from an authority whose root it does not know, and shows it no token', async () => {
    const { rootFile } = authorities.unknown;
    machines.set('wary', await startLate('wary', '10.91.2.10', trustDomain, rootFile));
    await expectRefused(toUs('wary'));
    const asked = mesh.authorityLog('main').filter(({ caller }) => caller === 'workload/shop/wary');
    expect(asked).toEqual([]);
  });

  it('of another trust domain, our node is refused by ztunnel, and refuses it', async () => {
    await node.stop();
    node = await mesh.startNode(authorities.sameKeys, other);
    await expectRefused(toUs('cart'));
    const refused = await accessLog(machine('cart').ztunnel, ({ error }) => error !== undefined);
    expect(refused.at(-1)).toMatchObject({
      direction: 'outbound',
      error: expect.stringContaining('peer did not present the expected SAN'),
    });
    await expectRefused(fromUs(cart));
    expect(await lastError('outbound')).toMatchObject({ code: 'TRUST_DOMAIN' });
  });
});
