/**
 * How soon a policy is in force, from the moment its file is there: until the first connection is refused, and until one
 * that lives is ended. On nodes that know a thousand pods more, which run nowhere. Prints what it measured.
 */
import { describe } from '@jest/globals';
import { labSuite } from './support/lab.ts';
import { namespace, pod, policy, serverPod } from './support/manifest.ts';
import { knocker, now, put, putAway, report } from './support/speed.ts';
import { until } from './support/wait.ts';

const others = 1_000;
const rounds = 15;

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  namespace('crowd', 'ambient'),
);

/** On a node that there is not, so nobody starts it. */
const farPod = (i: number): string => `
apiVersion: v1
kind: Pod
metadata: { name: far-${i}, namespace: crowd, uid: far-${i}, labels: { app: far-${i % 50} } }
spec: { nodeName: node-far, serviceAccountName: far-${i % 50}, containers: [{ name: main }] }
status:
  phase: Running
  podIP: 10.199.${i >> 8}.${i & 255}
  podIPs: [{ ip: 10.199.${i >> 8}.${i & 255} }]
  conditions: [{ type: Ready, status: "True" }]
`;

const policyFile = 'authorizationpolicy_shop_closed.yaml';
const closed = policy('shop/closed', 'DENY', '[{}]', 'cart');

describe('a policy that is there', () => {
  scenario(
    'refuses the next connection, and ends those that live, within a moment',
    async (lab) => {
      for (let i = 0; i < others; i++) put(lab, `pod_crowd_far-${i}.yaml`, farPod(i));
      await until('the nodes to know them', async () => {
        const { items } = await lab.admin<{ readonly items: readonly unknown[] }>('node-b', '/v1/workloads');
        return items.length > others;
      });
      const knocking = await knocker(lab, 'shop/web', 'shop/cart');
      const refused: number[] = [];
      const ended: number[] = [];
      for (let i = 0; i < rounds; i++) {
        await knocking.next('let in', now());
        const held = await knocker(lab, 'shop/web', 'shop/cart', 'hold');
        await held.next('let in', 0);
        const start = now();
        put(lab, policyFile, closed);
        const [first, end] = await Promise.all([knocking.next('refused', start), held.next('ended', start)]);
        refused.push(first);
        ended.push(end);
        held.stop();
        putAway(lab, policyFile);
      }
      knocking.stop();
      report(`policy file → first connection refused, ${others} pods more`, refused);
      report(`policy file → live connection ended, ${others} pods more`, ended);
    },
    180_000,
  );
});
