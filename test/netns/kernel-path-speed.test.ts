/**
 * How soon a policy is in force on the kernel path, from the moment its file is there: until connections that the kernel
 * carries by itself are cut, and until the next one is refused. Wanted are 100 ms. Prints what it measured.
 */
import { describe, expect } from '@jest/globals';
import type { ConnectionsDocument } from '../../src/telemetry/admin-api.ts';
import { type Lab, labSuiteWith } from './support/lab.ts';
import { namespace, pod, policy, serverPod } from './support/manifest.ts';
import { knocker, now, put, putAway, report } from './support/speed.ts';
import { until } from './support/wait.ts';

const rounds = 10;
const held = 50;

const { scenario } = labSuiteWith(
  ['--same-node', 'kernel'],
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-a' }),
);

const policyFile = 'authorizationpolicy_shop_closed.yaml';
const closed = policy('shop/closed', 'DENY', '[{}]', 'cart');

/** Connections that the kernel carries now, alone. */
async function carried(lab: Lab): Promise<number> {
  const target = '/v1/connections?only=live&path=kernel&limit=1000';
  const { live } = await lab.admin<ConnectionsDocument>('node-a', target);
  return live.filter(({ direction }) => direction === 'inbound').length;
}

describe('a policy that is there', () => {
  scenario(
    'cuts what the kernel carries, and refuses the next connection, within a moment',
    async (lab) => {
      const knocking = await knocker(lab, 'shop/web', 'shop/cart');
      const refused: number[] = [];
      const first: number[] = [];
      const last: number[] = [];
      for (let i = 0; i < rounds; i++) {
        // The first through ztunnel, the second by its verdict.
        for (let n = 0; n < 2; n++) await knocking.next('let in', now());
        const holding = await knocker(lab, 'shop/web', 'shop/cart', 'hold', String(held));
        await until('the kernel to carry them', async () => (await carried(lab)) >= held);
        const start = now();
        put(lab, policyFile, closed);
        const [next] = await Promise.all([
          knocking.next('refused', start),
          until('all to be cut', () => Promise.resolve(holding.all('ended').length === held)),
        ]);
        const cut = holding.all('ended').map((at) => at - start);
        expect(Math.min(...cut)).toBeGreaterThan(0);
        refused.push(next);
        first.push(Math.min(...cut));
        last.push(Math.max(...cut));
        holding.stop();
        putAway(lab, policyFile);
      }
      knocking.stop();
      report('policy file → first connection refused on the kernel path', refused);
      report(`policy file → first of ${held} kernel-path connections cut`, first);
      report(`policy file → all ${held} kernel-path connections cut`, last);
    },
    180_000,
  );
});
