/** NamespaceAccess in a running mesh: where pods may go outside it, their UDP, and the default for what comes in. */
import { describe, expect } from '@jest/globals';
import type { ConnectionItem } from '../../src/telemetry/admin-api.ts';
import { cli } from './support/cli.ts';
import { type ClientAnswer, type Lab, labSuite } from './support/lab.ts';
import {
  namespace,
  namespaceAccess,
  pod,
  policy,
  serverPod,
  service,
  serviceAccount,
} from './support/manifest.ts';
import { eventually, until } from './support/wait.ts';

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  serviceAccount('shop/web'),
  pod('shop/web', { node: 'node-a', serviceAccount: 'web' }),
  serverPod('shop/cart', { node: 'node-b' }),
  service('shop/cart', [7000, 7001]),
  namespace('other', 'ambient'),
  pod('other/guest', { node: 'node-a' }),
  namespace('legacy', 'none'),
  serverPod('legacy/old', { node: 'node-b' }),
  service('legacy/old', [7000, 7001]),
);

const greet = (lab: Lab, host: string): Promise<ClientAnswer> => lab.client('shop/web', 'greet', host, 7001);
const datagram = (lab: Lab, host: string): Promise<ClientAnswer> =>
  lab.client('shop/web', 'datagram', host, 7006, 'hello');

const isOpen = (answer: ClientAnswer): boolean =>
  (answer.greeting ?? answer.answer ?? undefined) !== undefined;
const isRefused = ({ error }: ClientAnswer): boolean => error === 'EPERM';

const byName = (lab: Lab): Promise<ClientAnswer> => greet(lab, 'old.legacy');
const byIp4 = (lab: Lab): Promise<ClientAnswer> => greet(lab, lab.pod('legacy/old').ip4);
const byIp6 = (lab: Lab): Promise<ClientAnswer> => greet(lab, lab.pod('legacy/old').ip6);
const byUdp = (lab: Lab): Promise<ClientAnswer> => datagram(lab, lab.pod('legacy/old').ip6);

/** Applies an object, waits until it holds, and removes it after the action. */
async function under(
  lab: Lab,
  path: string,
  spec: string,
  holds: () => Promise<boolean>,
  action: () => Promise<void>,
): Promise<void> {
  const [where = '', name = ''] = path.split('/');
  await lab.apply(namespaceAccess(path, spec));
  try {
    await until(`${path} to hold`, holds);
    await action();
  } finally {
    await lab.delete('namespaceaccess', name, '-n', where);
    await until('everything to be open again', async () =>
      [await greet(lab, lab.pod('legacy/old').ip4), await greet(lab, 'cart')].every(isOpen),
    );
  }
}

const locked = '{ egress: { default: Deny } }';

describe('a default of Deny', () => {
  scenario(
    'refuses what leaves the mesh and all UDP but DNS, before anything is sent, and says why',
    async (lab) => {
      const { ip4, ip6 } = lab.pod('legacy/old');
      const cart = lab.pod('shop/cart');
      const guest = lab.pod('other/guest');
      expect(isOpen(await greet(lab, ip4))).toBe(true);
      expect(await datagram(lab, ip6)).toMatchObject({ answer: 'hello' });
      const holds = async (): Promise<boolean> => isRefused(await greet(lab, ip4));
      await under(lab, 'shop/locked', locked, holds, async () => {
        const heard = lab.events('legacy/old').length;
        for (const host of [ip4, ip6, 'old.legacy']) {
          expect(await greet(lab, host)).toMatchObject({ error: 'EPERM' });
        }
        for (const host of [ip4, ip6, cart.ip4, cart.ip6]) {
          expect(await datagram(lab, host)).toMatchObject({ error: 'EPERM' });
        }
        // By its name, which DNS has to tell; and through the mesh, whose policies are others.
        expect(isOpen(await greet(lab, 'cart'))).toBe(true);
        expect(isOpen(await lab.client('other/guest', 'greet', ip4))).toBe(true);
        const news = await eventually('the guest at the server', () => {
          const events = lab.events('legacy/old').slice(heard);
          return events.some(({ client }) => client?.[0] === guest.ip4) ? events : undefined;
        });
        const { ips } = lab.pod('shop/web');
        expect(news.filter(({ client }) => ips.includes(client?.[0] ?? ''))).toEqual([]);

        const denied = await lab.record('node-a', 'the datagram', ({ transport }) => transport === 'udp');
        expect(denied).toMatchObject({
          outcome: 'denied',
          source: { workload: 'shop/web' },
          verdict: { allowed: false, policy: 'namespaceaccess/shop/locked' },
        });
        const line = await eventually('a log line of the refusal', () =>
          lab
            .log('node-a')
            .split('\n')
            .find((text) => text.includes('POLICY_DENIED') && text.includes('namespaceaccess/shop/locked')),
        );
        expect(JSON.parse(line)).toMatchObject({
          'src.workload': 'web',
          'verdict.reason': expect.stringContaining('no rule allows'),
        });
      });
    },
  );

  scenario('is named by "mesh-ebpf connections --denied", with the address that was dialled', async (lab) => {
    const { code, stdout } = await cli(['connections', '--denied', '-o', 'json']);
    expect(code).toBe(0);
    const { items } = JSON.parse(stdout) as { readonly items: readonly ConnectionItem[] };
    expect(items.map(({ transport }) => transport)).toEqual(expect.arrayContaining(['tcp', 'udp']));
    expect(items[0]?.verdict?.policy).toBe('namespaceaccess/shop/locked');
    const table = (await cli(['connections', '--denied'])).stdout;
    expect(table).toContain('DENIED by namespaceaccess/shop/locked: no rule allows');
    const dialled = items.map(({ originalDestination }) => originalDestination);
    expect(dialled).toContain(`${lab.pod('legacy/old').ip4}:7006`);
  });

  for (const { what, rule, open, shut } of [
    {
      what: 'a Service',
      rule: 'to: [{ service: { name: old, namespace: legacy } }]',
      open: byName,
      shut: byIp4,
    },
    {
      what: 'a namespace and a protocol',
      rule: 'to: [{ namespace: legacy }], ports: [{ protocol: UDP }]',
      open: byUdp,
      shut: byIp4,
    },
    {
      what: 'a CIDR block and ports',
      rule: 'to: [{ cidr: 10.0.0.0/8 }], ports: [{ protocol: TCP, port: 7000, endPort: 7001 }]',
      open: byIp4,
      shut: byIp6,
    },
  ]) {
    scenario(`lets through what a rule names: ${what}`, async (lab) => {
      const spec = `{ egress: { default: Deny, rules: [{ ${rule} }] } }`;
      const holds = async (): Promise<boolean> => isRefused(await shut(lab)) && !isRefused(await open(lab));
      await under(lab, 'shop/out', spec, holds, async () => {
        expect(isOpen(await open(lab))).toBe(true);
        expect(await shut(lab)).toMatchObject({ error: 'EPERM' });
      });
    });
  }

  scenario('holds while no node program runs, and when the next one has started', async (lab) => {
    const { ip4 } = lab.pod('legacy/old');
    const holds = async (): Promise<boolean> => isRefused(await greet(lab, ip4));
    await under(lab, 'shop/locked', locked, holds, async () => {
      const before = await lab.signal('node-a', 'SIGKILL');
      expect(await greet(lab, ip4)).toMatchObject({ error: 'EPERM' });
      expect(await datagram(lab, ip4)).toMatchObject({ error: 'EPERM' });
      await lab.replaced('node-a', before);
      expect(await greet(lab, ip4)).toMatchObject({ error: 'EPERM' });
      expect(isOpen(await greet(lab, 'cart'))).toBe(true);
    });
  });

  scenario(
    'comes with an object that was never understood; of a good one the last version stays',
    async (lab) => {
      const { ip4 } = lab.pod('legacy/old');
      const broken = '{ egress: { default: Allow, rules: [{ action: Deny, to: [{ cidr: 10.0.0.0/33 }] }] } }';
      const holds = async (): Promise<boolean> => isRefused(await greet(lab, ip4));
      await under(lab, 'shop/broken', broken, holds, async () => {
        const { problems } = await lab.status('node-a');
        expect(problems.map(({ message }) => message).join()).toContain('10.0.0.0/33');
      });
      const rule = 'to: [{ service: { name: old, namespace: legacy } }]';
      await under(lab, 'shop/out', `{ egress: { default: Deny, rules: [{ ${rule} }] } }`, holds, async () => {
        await lab.apply(namespaceAccess('shop/out', broken));
        await until('the problem', async () => (await lab.status('node-a')).problems.length > 0);
        expect(isOpen(await greet(lab, 'old.legacy'))).toBe(true);
        expect(await greet(lab, ip4)).toMatchObject({ error: 'EPERM' });
      });
    },
  );
});

describe('a rule that denies', () => {
  scenario('closes one destination and leaves the rest open', async (lab) => {
    const { ip4, ip6 } = lab.pod('legacy/old');
    const spec = `{ egress: { default: Allow, rules: [{ action: Deny, to: [{ cidr: ${ip4}/32 }] }] } }`;
    const holds = async (): Promise<boolean> => isRefused(await greet(lab, ip4));
    await under(lab, 'shop/not-there', spec, holds, async () => {
      expect(await datagram(lab, ip4)).toMatchObject({ error: 'EPERM' });
      expect(isOpen(await greet(lab, ip6))).toBe(true);
      expect(await datagram(lab, ip6)).toMatchObject({ answer: 'hello' });
    });
  });
});

describe('a default of Deny for inbound connections', () => {
  scenario('refuses whom no ALLOW policy admits, and names the object', async (lab) => {
    const admitted = async (): Promise<boolean> => isOpen(await greet(lab, 'cart'));
    const refused = async (): Promise<boolean> => !(await admitted());
    await under(lab, 'shop/closed', '{ inbound: { default: Deny } }', refused, async () => {
      const record = await lab.record('node-b', 'the refusal', ({ outcome }) => outcome === 'denied');
      expect(record.verdict).toMatchObject({ policy: 'namespaceaccess/shop/closed' });
      const principals = '[{ from: [{ source: { principals: [cluster.local/ns/shop/sa/web] } }] }]';
      await lab.apply(policy('shop/web-may', 'ALLOW', principals));
      await until('the policy to admit it', admitted);
      expect(isOpen(await lab.client('other/guest', 'greet', lab.pod('shop/cart').ip4))).toBe(false);
      await lab.delete('authorizationpolicy', 'web-may', '-n', 'shop');
      await until('the default to hold again', refused);
    });
  });
});
