/** The mesh in small, from the label to the uninstallation: what has to work on every kernel. */
import { describe, expect } from '@jest/globals';
import { LinkCapture } from '../../netns/support/capture.ts';
import { type ClientAnswer, type Lab, labSuite } from '../../netns/support/lab.ts';
import { namespace, namespaceAccess, pod, policy, serverPod, service } from '../../netns/support/manifest.ts';
import { endNodePrograms, uninstall } from '../../netns/support/uninstall.ts';
import { until } from '../../netns/support/wait.ts';

const { scenario } = labSuite(
  namespace('shop', 'none'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  service('shop/cart', [7000, 7001]),
  namespace('legacy', 'none'),
  serverPod('legacy/old', { node: 'node-b' }),
);

const greet = (lab: Lab, host: string | readonly [string, 4 | 6]): Promise<ClientAnswer> =>
  lab.client('shop/web', 'greet', host);
const datagram = (lab: Lab, host: string): Promise<ClientAnswer> =>
  lab.client('shop/web', 'datagram', host, 7006, 'hello');

const isOpen = ({ greeting }: ClientAnswer): boolean => (greeting ?? undefined) !== undefined;
const toCart = async (lab: Lab): Promise<boolean> => isOpen(await greet(lab, 'cart'));
const identity = (namespaceName: string): string => `spiffe://cluster.local/ns/${namespaceName}/sa/default`;

/** Whether what the pods say to each other can be read on the link between their nodes. */
async function isReadable(lab: Lab): Promise<boolean> {
  const capture = await LinkCapture.start('tcp or udp');
  try {
    const { ip4 } = lab.pod('legacy/old');
    expect(await lab.client('shop/web', 'exchange', 'cart', 7000, 'SECRET')).toMatchObject({
      answer: 'SECRET',
    });
    expect(await lab.client('shop/web', 'exchange', ip4, 7000, 'PUBLIC')).toMatchObject({ answer: 'PUBLIC' });
    await capture.seen('PUBLIC');
    return capture.count('SECRET') > 0;
  } finally {
    await capture.stop();
  }
}

describe('a namespace without the label', () => {
  scenario('is not in the mesh: what its pods say can be read on the link', async (lab) => {
    expect(await isReadable(lab)).toBe(true);
  });
});

describe('a namespace that is labelled', () => {
  scenario('comes into the mesh with its running pods', async (lab) => {
    const before = lab.holders('shop/web', 'shop/cart');
    await lab.apply(namespace('shop', 'ambient'));
    for (const node of ['node-a', 'node-b'] as const) {
      await until(`the pod of ${node} to be enrolled`, async () => {
        const { pods } = await lab.status(node);
        return pods.enrolled === 1 && pods.expected === 1;
      });
    }
    expect(lab.holders('shop/web', 'shop/cart')).toBe(before);
  });

  scenario('is connected by mutual TLS, over IPv4 and IPv6, and sees true addresses', async (lab) => {
    for (const family of [4, 6] as const) {
      const answer = await greet(lab, ['cart', family]);
      const { out, into } = await lab.tunnelled(answer.own?.[1]);
      expect(out).toMatchObject({ path: 'tunnel', service: 'shop/cart', error: null });
      expect(out.destination.identity).toBe(identity('shop'));
      expect(into.source.identity).toBe(identity('shop'));
      const { ip4, ip6 } = lab.pod('shop/web');
      expect(answer.greeting?.client[0]).toBe(family === 4 ? ip4 : ip6);
    }
    expect(await isReadable(lab)).toBe(false);
  });
});

describe('policies', () => {
  scenario('refuse a connection by its proved identity', async (lab) => {
    await lab.apply(policy('shop/closed', 'DENY', '[{ from: [{ source: { namespaces: [shop] } }] }]'));
    await until('the policy to hold', async () => !(await toCart(lab)));
    const record = await lab.record('node-b', 'the refusal', ({ outcome }) => outcome === 'denied');
    expect(record).toMatchObject({ source: { workload: 'shop/web' }, verdict: { allowed: false } });
    await lab.delete('authorizationpolicy', 'closed', '-n', 'shop');
    await until('the connection to be open again', () => toCart(lab));
  });

  scenario('keep pods from leaving the mesh, and their UDP from going anywhere', async (lab) => {
    const { ip4, ip6 } = lab.pod('legacy/old');
    expect(await datagram(lab, ip4)).toMatchObject({ answer: 'hello' });
    await lab.apply(namespaceAccess('shop/locked', '{ egress: { default: Deny } }'));
    await until('the object to hold', async () => (await greet(lab, ip4)).error === 'EPERM');
    for (const host of [ip4, ip6]) {
      expect(await greet(lab, host)).toMatchObject({ error: 'EPERM' });
      expect(await datagram(lab, host)).toMatchObject({ error: 'EPERM' });
    }
    expect(await toCart(lab)).toBe(true);
    const denied = await lab.record('node-a', 'the datagram', ({ transport }) => transport === 'udp');
    expect(denied.verdict).toMatchObject({ allowed: false, policy: 'namespaceaccess/shop/locked' });
    await lab.delete('namespaceaccess', 'locked', '-n', 'shop');
    await until('everything to be open again', async () => isOpen(await greet(lab, ip4)));
    expect(await datagram(lab, ip6)).toMatchObject({ answer: 'hello' });
  });
});

describe('what outlives the node programs', () => {
  scenario('connections into the mesh are still captured, and a new node program takes them', async (lab) => {
    const before = await lab.process('node-a', 'worker');
    if (before === undefined) throw new Error('node-a has no node program');
    await lab.signal('node-a', 'SIGKILL', 'worker');
    await lab.replaced('node-a', before, 'worker');
    expect(await toCart(lab)).toBe(true);
    expect(await isReadable(lab)).toBe(false);
  });

  scenario('is removed by "uninstall", which proves it, and pods go on without the mesh', async (lab) => {
    await endNodePrograms(lab);
    const { code, report } = await uninstall('-y', '--verify');
    expect({ code, leftovers: report.leftovers }).toEqual({ code: 0, leftovers: [] });
    // By address: the kubelets, which answer DNS, are stopped.
    const { greeting } = await greet(lab, lab.pod('shop/cart').ip4);
    expect(greeting?.client[0]).toBe(lab.pod('shop/web').ip4);
  });
});
