/**
 * Ways past a policy that applications find, or look for. Whatever they try, what is refused stays refused, and no byte
 * of it reaches the application. Attacks on the mesh's own ports, forged certificates and marks: `hostile.test.ts`; other
 * cgroups, foreign namespaces and UDP that is connected and sent elsewhere: `test/bpf/capture.test.ts`, `egress.test.ts`.
 */
import { describe, expect } from '@jest/globals';
import { type ClientAnswer, type Lab, labSuiteWith, type NodeId } from './lab.ts';
import { namespace, namespaceAccess, pod, policy, serverPod, serviceAccount } from './manifest.ts';
import { until } from './wait.ts';

const isThrough = ({ greeting, answer }: ClientAnswer): boolean =>
  (greeting ?? undefined) !== undefined || (answer ?? '') !== '';

const accepted = (lab: Lab, path: string): number =>
  lab.events(path).filter(({ event, port }) => event === 'accepted' && port === 7001).length;

/** None of the attempts gets through, and the application sees nothing of them: web, who may, comes last and alone. */
async function leadNowhere(lab: Lab, attempts: readonly (() => Promise<ClientAnswer>)[]): Promise<void> {
  const before = accepted(lab, 'shop/safe');
  const answers = await Promise.all(attempts.map((attempt) => attempt()));
  expect(answers.filter(isThrough)).toEqual([]);
  expect(await lab.greets('shop/web', lab.pod('shop/safe').ip4)).toBe(true);
  await until('the server to tell of web', () => accepted(lab, 'shop/safe') > before);
  expect(accepted(lab, 'shop/safe')).toBe(before + 1);
}

const both = async (lab: Lab, one: string, other: string): Promise<readonly ClientAnswer[]> =>
  await Promise.all([
    lab.client(one, 'simultaneous', lab.pod(other).ip4, 6002, 6001),
    lab.client(other, 'simultaneous', lab.pod(one).ip4, 6001, 6002),
  ]);

/**
 * @param flags of `lab up`
 * @param node where the pods are that are to be reached; those that try are on node-a
 */
export function bypassScenarios(flags: readonly string[], node: NodeId): void {
  const { scenario } = labSuiteWith(
    flags,
    namespace('shop', 'ambient'),
    ...['web', 'guest'].map((name) => serviceAccount(`shop/${name}`)),
    pod('shop/web', { node: 'node-a', serviceAccount: 'web' }),
    pod('shop/guest', { node: 'node-a', serviceAccount: 'guest' }),
    serverPod('shop/safe', { node }),
    policy(
      'shop/only-web',
      'ALLOW',
      '[{ from: [{ source: { principals: ["*/ns/shop/sa/web"] } }] }]',
      'safe',
    ),
    namespace('vault', 'ambient'),
    serverPod('vault/box', { node }),
    namespaceAccess('vault/closed', '{ inbound: { default: Deny }, egress: { default: Deny } }'),
    namespace('outside', 'none'),
    serverPod('outside/mallory', { node: 'node-a' }),
    serverPod('outside/eve', { node: 'node-b' }),
  );

  describe('a policy that allows one client', () => {
    scenario('by its address is not met by another pod that forges it', async (lab) => {
      const { ip4 } = lab.pod('shop/safe');
      const stolen = lab.pod('shop/web').ip4;
      await lab.apply(
        policy('shop/only-web', 'ALLOW', `[{ from: [{ source: { ipBlocks: ["${stolen}"] } }] }]`, 'safe'),
      );
      try {
        await until('web to be let in by its address', () => lab.greets('shop/web', ip4));
        await until('nobody else to be', async () => !(await lab.greets('shop/guest', ip4)));
        const forge = (from: string, mark: number) => () =>
          lab.client(from, 'marked', ip4, 7001, mark, stolen);
        const attempts = ['shop/guest', 'outside/mallory'].flatMap((from) => [
          forge(from, 0),
          forge(from, 0x53a),
        ]);
        await leadNowhere(lab, attempts);
      } finally {
        await lab.apply(
          policy(
            'shop/only-web',
            'ALLOW',
            '[{ from: [{ source: { principals: ["*/ns/shop/sa/web"] } }] }]',
            'safe',
          ),
        );
        await until('the policy as before', () => lab.greets('shop/web', ip4));
      }
    });

    scenario('is not met with TCP Fast Open, whose first packet has data already', async (lab) => {
      const { ip4, ip6 } = lab.pod('shop/safe');
      const attempts = ['shop/guest', 'outside/mallory'].flatMap((from) =>
        [ip4, ip6].map((ip) => () => lab.client(from, 'fastopen', ip, 7001)),
      );
      await leadNowhere(lab, attempts);
    });

    scenario('is not met with Multipath TCP', async (lab) => {
      const { ip4, ip6 } = lab.pod('shop/safe');
      const attempts = ['shop/guest', 'outside/mallory'].flatMap((from) =>
        [ip4, ip6].map((ip) => () => lab.client(from, 'multipath', ip, 7001)),
      );
      await leadNowhere(lab, attempts);
      expect((await lab.client('shop/web', 'multipath', ip4, 7001)).greeting).toBeTruthy();
    });

    scenario('is not met by way of an IPv4 address in an IPv6 one', async (lab) => {
      const mapped = `::ffff:${lab.pod('shop/safe').ip4}`;
      await leadNowhere(
        lab,
        ['shop/guest', 'outside/mallory'].map((from) => () => lab.client(from, 'greet', mapped)),
      );
      expect(await lab.greets('shop/web', mapped)).toBe(true);
    });
  });

  describe('a pod that dials itself', () => {
    scenario(
      'by its own address, 127.0.0.1 or 0.0.0.0 reaches itself, and never another pod',
      async (lab) => {
        const safe = lab.pod('shop/safe');
        const guest = lab.pod('shop/guest');
        for (const host of [safe.ip4, safe.ip6, '127.0.0.1', '::1', '0.0.0.0', '::']) {
          expect({ host, reached: await lab.greets('shop/safe', host) }).toEqual({ host, reached: true });
        }
        for (const host of [guest.ip4, guest.ip6, '127.0.0.1', '::1', '0.0.0.0', '::']) {
          const { error } = await lab.client('shop/guest', 'greet', host);
          expect({ host, error }).toEqual({ host, error: 'ECONNREFUSED' });
        }
      },
    );

    scenario('does not get at the mesh’s own ports that way', async (lab) => {
      const { ip4, ip6 } = lab.pod('shop/guest');
      for (const host of [ip4, ip6, '127.0.0.1', '::1', '0.0.0.0', '::']) {
        for (const port of [15001, 15006, 15008]) {
          const { error } = await lab.client('shop/guest', 'probe', host, port);
          expect({ host, port, error }).toEqual({ host, port, error: 'EPERM' });
        }
      }
    });
  });

  describe('a connection that is opened from both ends at once', () => {
    scenario('comes about where there is no mesh', async (lab) => {
      const answers = await both(lab, 'outside/mallory', 'outside/eve');
      expect(answers.map(({ answer }) => answer)).toContain('inside');
    });

    scenario('does not get past the policy of one end', async (lab) => {
      const answers = await both(lab, 'shop/guest', 'shop/safe');
      expect(answers.map(({ answer }) => answer)).toEqual([undefined, undefined]);
    });

    scenario('does not get past a default of Deny, out or in', async (lab) => {
      const [inside, outside] = await both(lab, 'vault/box', 'outside/mallory');
      expect(inside).toMatchObject({ error: 'EPERM' });
      expect(outside?.answer).toBeUndefined();
    });
  });
}
