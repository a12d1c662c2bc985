/** Our node beside Istio's ztunnel: `make interop ZTUNNEL=/path/to/ztunnel` (root). */
import { describe, expect, it, jest } from '@jest/globals';
import { exchange, getJson } from '../support/apps.ts';
import { carries, drains } from '../support/carrying.ts';
import { web } from '../support/our-mesh.ts';
import { cart, identities, type StartProxy, targetsAt, trustDomain } from '../support/pair.ts';
import { accessLog, ready, startZtunnel } from '../support/ztunnel.ts';

jest.setTimeout(120_000);

const startProxy: StartProxy = async (mesh, authority, peer) => {
  const ztunnel = startZtunnel(mesh, {
    peer,
    self: { ...cart, trustDomain },
    others: [{ ...web, trustDomain }],
    denied: [web.serviceAccount],
    authority,
    tokenFile: mesh.token(authority, '--service-account', 'shop/cart'),
  });
  await ready(ztunnel);
  return { process: ztunnel, ...targetsAt(web.ip) };
};

describe('our node and Istio’s ztunnel', () => {
  const pair = carries(startProxy);

  it.each(['inbound', 'outbound'] as const)(
    'is named by its certificate in ztunnel’s access log: %s',
    async (direction) => {
      const { proxy, fromUs, fromThem } = pair();
      const { parties, open } = direction === 'inbound' ? fromUs : fromThem;
      await exchange(parties, open);
      const complete = await accessLog(
        proxy,
        (line) =>
          line['message'] === 'connection complete' && line['direction'] === direction && !('error' in line),
      );
      expect(complete.at(-1)).toMatchObject(
        direction === 'inbound'
          ? { 'src.identity': identities.web, 'dst.identity': identities.cart }
          : { 'src.identity': identities.cart, 'dst.identity': identities.web },
      );
    },
  );

  it('answers ztunnel with 401 where our policy refuses', async () => {
    const { proxy, fromThem } = pair();
    await exchange(fromThem.parties, fromThem.guarded);
    const failed = await accessLog(proxy, ({ error }) => String(error).includes('401'));
    expect(failed.at(-1)).toMatchObject({ direction: 'outbound', 'dst.identity': identities.web });
  });

  it('takes ztunnel’s 401 as a refusal: our application sees a reset, and the record says why', async () => {
    const { mesh, fromUs } = pair();
    const [only] = await exchange(fromUs.parties, fromUs.guarded);
    expect(only?.client).toMatchObject({ outcome: 'ECONNRESET', received: 0 });
    expect(only?.server).toBeUndefined();
    expect((await mesh.recent()).at(-1)?.error).toMatchObject({
      code: 'CONNECT_REFUSED',
      message: expect.stringContaining('401'),
    });
  });

  it('tells ztunnel that our application reset its connection', async () => {
    const { proxy, fromUs } = pair();
    await exchange(fromUs.parties, { ...fromUs.open, up: 1000, down: 0, abort: true });
    const broken = await accessLog(proxy, ({ error }) => /reset or abnormally closed/.test(String(error)));
    expect(broken.at(-1)).toMatchObject({ direction: 'inbound', bytes_recv: 1128 });
  });

  it('has in its config_dump the fields of ztunnel’s that istioctl reads, with the same types', async () => {
    const { mesh, peer } = pair();
    const theirs = await getJson<Dump>(mesh.topology, peer, 'http://127.0.0.1:15000/config_dump');
    const ours = (await mesh.configDump()) as unknown as Dump;
    for (const [list, fields] of Object.entries(istioctlReads)) {
      expect({ list, ...types(first(ours, list), fields) }).toEqual({
        list,
        ...types(first(theirs, list), fields),
      });
    }
    const certificates = [ours, theirs].map((dump) => first(first(dump, 'certificates'), 'certChain'));
    const [our, their] = certificates.map((certificate) => types(certificate, Object.keys(certificate)));
    expect(our).toEqual(their);
  });

  it('has in its config_dump what istioctl reads of a ztunnel that serves many pods', async () => {
    const dump = await pair().mesh.configDump();
    expect(Object.values(dump.workloadState)).toEqual([
      {
        state: 'Up',
        connections: { inbound: expect.any(Array), outbound: expect.any(Array) },
        info: { name: 'web', namespace: 'shop', serviceAccount: 'web', trustDomain },
      },
    ]);
    expect(dump.certificates).toContainEqual(
      expect.objectContaining({ identity: identities.web, state: 'Available' }),
    );
  });

  drains(pair);
});

type Dump = Readonly<Record<string, unknown>>;

/** `istioctl ztunnel-config workload|policy|certificate`: the fields of each list's items. */
const istioctlReads = {
  workloads: `uid name namespace workloadIps protocol node serviceAccount status clusterId trustDomain`.split(
    ' ',
  ),
  policies: ['name', 'namespace', 'scope', 'action', 'rules'],
  certificates: ['identity', 'state', 'certChain', 'rootCerts'],
};

function first(dump: Dump, list: string): Dump {
  const items = dump[list];
  if (!Array.isArray(items) || items.length === 0) throw new Error(`${list} has no items`);
  return items[0] as Dump;
}

const types = (item: Dump, fields: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(fields.map((field) => [field, typeOf(item[field])]));

const typeOf = (value: unknown): string => (Array.isArray(value) ? 'array' : typeof value);
