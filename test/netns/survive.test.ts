/** What the kernel carries by itself outlives the node program; and nobody gets in who would not be let in. */
import { describe, expect } from '@jest/globals';
import type { ProcessRef } from '../../src/lab/system/process.ts';
import { type Lab, labSuiteWith } from './support/lab.ts';
import { namespace, pod, policy, serverPod, serviceAccount } from './support/manifest.ts';
import { eventually, until } from './support/wait.ts';

const here = { node: 'node-a' } as const;

const { scenario } = labSuiteWith(
  ['--same-node', 'kernel'],
  namespace('shop', 'ambient'),
  serviceAccount('shop/web'),
  serviceAccount('shop/batch'),
  pod('shop/web', { ...here, serviceAccount: 'web' }),
  pod('shop/batch', { ...here, serviceAccount: 'batch' }),
  serverPod('shop/cart', here),
);

const denyBatch = policy(
  'shop/no-batch',
  'DENY',
  '[{ from: [{ source: { principals: [cluster.local/ns/shop/sa/batch] } }] }]',
  'cart',
);
const denyAll = policy('shop/nobody', 'DENY', '[{}]', 'cart');

const greets = async (lab: Lab, from: string): Promise<boolean> => {
  const { error, greeting } = await lab.client(from, 'greet', lab.pod('shop/cart').ip4);
  return error === undefined && greeting !== null;
};

/** Until the kernel carries the pair by itself. */
async function warm(lab: Lab): Promise<void> {
  await until('the kernel path', async () => {
    const { own } = await lab.client('shop/web', 'greet', lab.pod('shop/cart').ip4);
    const record = await lab.record(
      'node-a',
      'the connection',
      ({ source, direction }) => direction === 'inbound' && source.address.endsWith(`:${own?.[1]}`),
    );
    return record.path === 'kernel';
  });
}

interface Held {
  readonly problems: readonly string[];
}

interface Knocks {
  readonly done: number;
  readonly failures: readonly { readonly error: string }[];
}

const kills = 100;
const open = 20;

describe('on the kernel path, under load, a node program killed with -9', () => {
  scenario(
    `${kills} times cuts no connection, and lets nobody in who is denied`,
    async (lab) => {
      const { ip4 } = lab.pod('shop/cart');
      await lab.apply(denyBatch);
      await until('one to be refused', async () => !(await greets(lab, 'shop/batch')));
      await warm(lab);
      await lab.client('shop/web', 'exchange', ip4, 7000, 'the first one goes through ztunnel');
      const held = await lab.start('shop/web', 'hold', ip4, 7000, open);
      expect(await held.nextJson()).toEqual({ open, problems: [] });
      const [allowed, denied] = [
        await lab.start('shop/web', 'knock', ip4, 7001),
        await lab.start('shop/batch', 'knock', ip4, 7001),
      ];
      const startedAt = Date.now();
      for (let i = 0; i < kills; i++) {
        const killed = await lab.signal('node-a', 'SIGKILL', 'worker');
        await lab.replaced('node-a', killed, 'worker');
      }
      const seconds = Math.round((Date.now() - startedAt) / 1000);
      const [good, bad] = [await allowed.result<Knocks>(), await denied.result<Knocks>()];
      const { problems } = await held.result<Held>();
      const told = `${problems.length} of ${open} connections cut, ${bad.done} of ${bad.done + bad.failures.length}`;
      const allowedOnes = `${good.failures.length} of ${good.done + good.failures.length}`;
      process.stdout.write(
        `  ${kills} kills in ${seconds} s: ${told} wrongly admitted, ${allowedOnes} refused\n`,
      );
      expect(problems).toEqual([]);
      expect(bad.done).toBe(0);
      expect(bad.failures.length).toBeGreaterThan(kills);
      expect(good.done).toBeGreaterThan(kills);
      // Those that ztunnel was being asked about, and died with it.
      expect(good.failures.length).toBeLessThanOrEqual(3 * kills);
      await lab.delete('authorizationpolicy', 'no-batch', '-n', 'shop');
    },
    400_000,
  );
});

/** Nobody is there, for as long as we want. */
async function absent(lab: Lab): Promise<ProcessRef> {
  const killed = await lab.signal('node-a', 'SIGKILL', 'worker');
  const next = await eventually('the next node program', async () => {
    const now = await lab.process('node-a', 'worker');
    return now?.pid === killed.pid ? undefined : now;
  });
  process.kill(next.pid, 'SIGSTOP');
  return next;
}

describe('while there is no node program', () => {
  scenario(
    'pairs with a verdict connect; what changes meanwhile counts before anything else',
    async (lab) => {
      const { ip4 } = lab.pod('shop/cart');
      await warm(lab);
      await lab.client('shop/web', 'exchange', ip4, 7000, 'the first one goes through ztunnel');
      const held = await lab.start('shop/web', 'hold', ip4, 7000, 5);
      expect(await held.nextJson()).toEqual({ open: 5, problems: [] });
      const next = await absent(lab);
      try {
        for (let i = 0; i < 5; i++) expect(await greets(lab, 'shop/web')).toBe(true);
        await lab.apply(denyAll);
      } finally {
        process.kill(next.pid, 'SIGCONT');
      }
      await until('new ones to be refused', async () => !(await greets(lab, 'shop/web')));
      expect((await held.result<Held>()).problems).toHaveLength(5);
      const cut = await lab.record(
        'node-a',
        'a late denial',
        ({ path, direction, error }) =>
          path === 'kernel' && direction === 'inbound' && error?.message.includes('late denial') === true,
      );
      expect(cut).toMatchObject({ outcome: 'denied', verdict: { allowed: false, policy: 'shop/nobody' } });
      await lab.delete('authorizationpolicy', 'nobody', '-n', 'shop');
    },
  );
});
