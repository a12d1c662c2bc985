/**
 * Attackers inside and outside the mesh. Whatever they do, they never become somebody else, never get past a policy,
 * and nobody else notices them.
 */
import { afterEach, beforeAll, describe, expect } from '@jest/globals';
import { rmSync, writeFileSync } from 'node:fs';
import { caAddress } from '../../src/lab/plan/mesh-commands.ts';
import { parseSpiffeId } from '../../src/model/identity.ts';
import { createTestCa } from '../support/test-ca.ts';
import { cliOk } from './support/cli.ts';
import { type Lab, labSuite } from './support/lab.ts';
import {
  certificateScript,
  hboneClientScript,
  namespace,
  pod,
  policy,
  serverPod,
  serviceAccount,
} from './support/manifest.ts';
import type { HboneAnswer, HboneRequest } from './support/pod/hbone-client.ts';
import { until } from './support/wait.ts';

const { lab: suite, scenario } = labSuite(
  namespace('shop', 'ambient'),
  ...['web', 'guest'].map((name) => serviceAccount(`shop/${name}`)),
  pod('shop/web', { node: 'node-a', serviceAccount: 'web' }),
  pod('shop/guest', { node: 'node-a', serviceAccount: 'guest' }),
  serverPod('shop/cart', { node: 'node-b' }),
  serverPod('shop/safe', { node: 'node-b' }),
  policy('shop/only-web', 'ALLOW', '[{ from: [{ source: { principals: ["*/ns/shop/sa/web"] } }] }]', 'safe'),
  namespace('outside', 'none'),
  serviceAccount('outside/mallory'),
  pod('outside/mallory', { node: 'node-a', serviceAccount: 'mallory' }),
);

const web = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
const guest = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/guest');
const mallory = parseSpiffeId('spiffe://cluster.local/ns/outside/sa/mallory');
const meshPorts = [15001, 15006, 15008];
const garbage = Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n').toString('hex');
const h2Preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n').toString('hex') + '000000040000000000';
const tlsGarbage = `1603010200010001fc0303${'00'.repeat(600)}`;

const accepted = (lab: Lab, path: string): number =>
  lab.events(path).filter(({ event, port }) => event === 'accepted' && port === 7001).length;

/** Web is served as ever, and the node has not been restarted. */
async function unharmed(lab: Lab): Promise<void> {
  for (const path of ['shop/cart', 'shop/safe']) {
    const { greeting, own } = await lab.client('shop/web', 'greet', lab.pod(path).ip4);
    expect(greeting?.local).toEqual([lab.pod(path).ip4, 7001]);
    expect((await lab.tunnelled(own?.[1])).into.source.identity).toBe(web);
  }
  expect((await restarts()).join()).toBe('0,0,0');
}

async function restarts(): Promise<readonly number[]> {
  const { nodes } = JSON.parse(await cliOk(['lab', 'status', '-o', 'json'])) as {
    readonly nodes: readonly {
      readonly processes: readonly { readonly name: string; readonly restarts: number }[];
    }[];
  };
  return nodes.flatMap(({ processes }) =>
    processes.filter(({ name }) => name !== 'kubelet').map((one) => one.restarts),
  );
}

describe('the ports of the mesh, dialled directly,', () => {
  for (const from of ['outside/mallory', 'shop/guest', 'shop/cart']) {
    scenario(`lead ${from} nowhere`, async (lab) => {
      const { ip4, ip6 } = lab.pod('shop/cart');
      const before = [accepted(lab, 'shop/cart'), accepted(lab, 'shop/safe')];
      const targets = from === 'shop/cart' ? [ip4, ip6, '127.0.0.1', '::1'] : [ip4, ip6];
      const attempts = targets.flatMap((host) =>
        meshPorts.flatMap((port) =>
          [garbage, h2Preface, tlsGarbage].map((text) => [host, port, text] as const),
        ),
      );
      const answers = await Promise.all(
        attempts.map(([host, port, text]) => lab.client(from, 'probe', host, port, text)),
      );
      for (const [i, { answer = '', error }] of answers.entries()) {
        const what = JSON.stringify({ attempt: attempts[i], answer, error });
        // At most a TLS alert (RFC 8446 §6) comes back; a connection that hangs would be a timeout.
        expect({ what, fine: /^(15030[13]0002....)?$/.test(answer) && error !== 'timeout' }).toEqual({
          what,
          fine: true,
        });
      }
      await unharmed(lab);
      expect([accepted(lab, 'shop/cart'), accepted(lab, 'shop/safe')]).toEqual(
        before.map((count) => count + 1),
      );
    });
  }
});

/** One CONNECT to the HBONE port of a pod, aimed at its port 7001 unless the request says otherwise. */
async function attempt(
  lab: Lab,
  to: string,
  request: Partial<HboneRequest> = {},
  from = 'outside/mallory',
): Promise<HboneAnswer> {
  const { ip4 } = lab.pod(to);
  const whole: HboneRequest = { via: `${ip4}:15008`, authority: `${ip4}:7001`, headers: {}, ...request };
  const { stdout, stderr } = await lab.exec(
    from,
    [process.execPath, hboneClientScript],
    JSON.stringify(whole),
  );
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as HboneAnswer;
}

describe('an HBONE client', () => {
  let proved: { readonly cert: string; readonly key: string; readonly ca: string };

  beforeAll(async () => {
    const lab = suite();
    const tokens = ['--tokens', lab.layout.tokens, '--service-account', 'outside/mallory'];
    const token = await cliOk(['ca', 'token', 'create', ...tokens]);
    const file = `${lab.layout.caDir}/mallory`;
    writeFileSync(file, token.trim(), { mode: 0o600 });
    const argv = [process.execPath, certificateScript, caAddress, lab.layout.caRoot, file, mallory] as const;
    proved = await lab.onNode('node-a', argv).result();
    rmSync(file);
  }, 60_000);

  afterEach(() => unharmed(suite()), 60_000);

  scenario('without a certificate is not heard', async (lab) => {
    const answer = await attempt(lab, 'shop/cart');
    expect(answer.status).toBeUndefined();
    expect(answer.error).not.toBe('timeout');
  });

  scenario('with a certificate of another authority is not heard, whatever name is in it', async (lab) => {
    const { certificateChain, privateKey } = await (await createTestCa()).issue({ uris: [web] });
    const answer = await attempt(lab, 'shop/safe', { cert: certificateChain, key: privateKey });
    expect(answer.status).toBeUndefined();
    expect(answer.error).not.toBe('timeout');
  });

  scenario('that speaks another protocol over TLS is not heard', async (lab) => {
    const answer = await attempt(lab, 'shop/cart', { ...proved, alpn: 'http/1.1' });
    expect(answer.status).toBeUndefined();
    expect(answer.error).not.toBe('timeout');
  });

  scenario(
    'with a valid certificate is served under the name in it, whatever its headers say',
    async (lab) => {
      const { ip4 } = lab.pod('shop/web');
      const headers = {
        forwarded: `for=${ip4};by=${ip4};host=safe.shop.svc.cluster.local`,
        baggage: 'k8s.namespace.name=shop,k8s.deployment.name=web,service.name=web',
        'x-forwarded-for': ip4,
        'x-forwarded-client-cert': `By=${web};URI=${web}`,
        'x-istio-source-principal': web,
      };
      expect(await attempt(lab, 'shop/cart', { ...proved, headers })).toMatchObject({ status: 200 });
      const record = await lab.record(
        'node-b',
        'the connection of mallory',
        ({ source }) => source.identity === mallory,
      );
      expect(record).toMatchObject({
        direction: 'inbound',
        path: 'tunnel',
        source: { workload: 'outside/mallory' },
      });
      expect(await attempt(lab, 'shop/safe', { ...proved, headers })).toEqual({ status: 401 });
    },
  );

  scenario(
    'cannot reach another pod than the one it connected to, nor the ports of the mesh',
    async (lab) => {
      const safe = lab.pod('shop/safe');
      const cart = lab.pod('shop/cart');
      const authorities = [
        `${safe.ip4}:7001`,
        `[${safe.ip6}]:7001`,
        `${lab.pod('shop/web').ip4}:7001`,
        '127.0.0.1:7001',
        '10.10.0.1:15012',
        'safe.shop.svc.cluster.local:7001',
        `${cart.ip4}:15001`,
        `${cart.ip4}:15006`,
        `${cart.ip4}:15008`,
        `${cart.ip4}:0`,
        `${cart.ip4}:99999`,
        'nonsense',
        `::ffff:${safe.ip4}`,
      ];
      for (const authority of authorities) {
        const answer = await attempt(lab, 'shop/cart', { ...proved, authority });
        expect({ authority, ...answer }).toEqual({ authority, status: 400 });
      }
    },
  );

  scenario(
    'inside a meshed pod cannot use a foreign certificate: its connection is captured',
    async (lab) => {
      const answer = await attempt(lab, 'shop/safe', proved, 'shop/guest');
      expect(answer.status).toBeUndefined();
      expect(answer.error).not.toBe('timeout');
    },
  );
});

describe('a socket with the mark of the mesh', () => {
  const mark = 0x53a;

  scenario('is plaintext without identity when it comes from outside', async (lab) => {
    const { greeting, own } = await lab.client(
      'outside/mallory',
      'marked',
      lab.pod('shop/cart').ip4,
      7001,
      mark,
    );
    expect(greeting?.client[0]).toBe(lab.pod('outside/mallory').ip4);
    expect((await lab.plaintext('node-b', own?.[1])).source.identity).toBeNull();
    const refusal = await lab.client('outside/mallory', 'marked', lab.pod('shop/safe').ip4, 7001, mark);
    expect(refusal.greeting ?? undefined).toBeUndefined();
    await unharmed(lab);
  });

  scenario('is its own pod, and no other, when it comes from the mesh', async (lab) => {
    const { greeting, own } = await lab.client('shop/guest', 'marked', lab.pod('shop/cart').ip4, 7001, mark);
    expect(greeting?.client[0]).toBe(lab.pod('shop/guest').ip4);
    expect((await lab.tunnelled(own?.[1])).into.source.identity).toBe(guest);
    const refusal = await lab.client('shop/guest', 'marked', lab.pod('shop/safe').ip4, 7001, mark);
    expect(refusal.greeting ?? undefined).toBeUndefined();
    await unharmed(lab);
  });

  for (const from of ['outside/mallory', 'shop/guest']) {
    scenario(`and a stolen address does not make ${from} somebody else`, async (lab) => {
      const stolen = lab.pod('shop/web').ip4;
      const before = accepted(lab, 'shop/safe');
      for (const each of [mark, 0]) {
        const answer = await lab.client(from, 'marked', lab.pod('shop/safe').ip4, 7001, each, stolen);
        expect(answer.greeting ?? undefined).toBeUndefined();
      }
      await unharmed(lab);
      await until('the server to tell of web', () => accepted(lab, 'shop/safe') > before);
      expect(accepted(lab, 'shop/safe')).toBe(before + 1);
    });
  }
});
