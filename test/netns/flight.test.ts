/** What nodes remember of connections, over the death of the node program, and what is made of it: policies from what was seen. */
import { describe, expect } from '@jest/globals';
import { dirname, join } from 'node:path';
import { readFileSync, statSync } from 'node:fs';
import type { ConnectionItem, PolicyFindingItem } from '../../src/telemetry/admin-api.ts';
import { cli, cliOk } from './support/cli.ts';
import { type Lab, labSuite, type NodeId } from './support/lab.ts';
import { namespace, pod, policy, serverPod, service, serviceAccount } from './support/manifest.ts';
import { eventually, until } from './support/wait.ts';

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  serviceAccount('shop/web'),
  pod('shop/web', { node: 'node-a', serviceAccount: 'web' }),
  serverPod('shop/cart', { node: 'node-b' }),
  service('shop/cart', [7000, 7001]),
  namespace('other', 'ambient'),
  pod('other/guest', { node: 'node-a' }),
);

const recordOf = (lab: Lab, node: NodeId): string =>
  join(dirname(lab.layout.node(node).adminSocket), 'connections.flight');

const remembered = async (): Promise<readonly ConnectionItem[]> => {
  const { items } = JSON.parse(await cliOk(['connections', '-n', 'shop', '-o', 'json'])) as {
    readonly items: readonly ConnectionItem[];
  };
  return items.filter(({ sequence }) => sequence !== null);
};

describe('the memory of connections', () => {
  scenario('outlives a node program that is killed with -9, on both nodes', async (lab) => {
    expect(await lab.greets('shop/web', 'cart')).toBe(true);
    const before = await eventually('both sides to be told of', async () => {
      const items = await remembered();
      return new Set(items.map(({ direction }) => direction)).size === 2 ? items : undefined;
    });
    for (const node of ['node-a', 'node-b'] as const) {
      await until(`${node} to have written down what it saw`, () => {
        const text = readFileSync(recordOf(lab, node), 'utf8');
        return Promise.resolve(
          text.includes('"type":"record"') && text.includes(`"${before.at(-1)?.traceId}"`),
        );
      });
      expect(statSync(recordOf(lab, node)).mode & 0o777).toBe(0o600);
      const killed = await lab.signal(node, 'SIGKILL', 'worker');
      await lab.replaced(node, killed, 'worker');
    }
    const ids = (await remembered()).map(({ id, traceId }) => `${id} ${traceId}`);
    expect(ids).toEqual(expect.arrayContaining(before.map(({ id, traceId }) => `${id} ${traceId}`)));
  });

  scenario('gives no id twice after that', async (lab) => {
    const before = new Set((await remembered()).map(({ id, direction }) => `${direction} ${id}`));
    expect(await lab.greets('shop/web', 'cart')).toBe(true);
    await until('the new connection to be told of', async () => (await remembered()).length > before.size);
    const all = (await remembered()).map(({ id, direction }) => `${direction} ${id}`);
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('policies made of what was seen', () => {
  scenario('allow what was seen, change nothing for it, and refuse a stranger', async (lab) => {
    expect(await lab.greets('shop/web', 'cart')).toBe(true);
    const suggested = await eventually('a suggestion', async () => {
      const { code, stdout } = await cli(['policy', 'suggest', '-n', 'shop']);
      return code === 0 && stdout.includes('cluster.local/ns/shop/sa/web') ? stdout : undefined;
    });
    expect(suggested).toMatch(/ports: \["7001"\]/);
    const diff = await cli(['policy', 'diff', '-f', '-'], { stdin: suggested });
    expect([diff.code, diff.stdout]).toEqual([0, '']);
    expect(await lab.greets('other/guest', 'cart.shop')).toBe(true);
    await until('that the stranger was seen, too', async () => {
      const { code, stdout } = await cli(['policy', 'diff', '-f', '-'], { stdin: suggested });
      return code === 1 && /DENIED .*cluster\.local\/ns\/other\/sa\//.test(stdout);
    });
    await lab.apply(suggested);
    try {
      await until('the stranger to be refused', async () => !(await lab.greets('other/guest', 'cart.shop')));
      expect(await lab.greets('shop/web', 'cart')).toBe(true);
    } finally {
      await lab.delete('authorizationpolicy', 'cart-seen', '-n', 'shop');
    }
  });
});

describe('lint of the policies in force', () => {
  scenario('finds the selector that nobody has', async (lab) => {
    await lab.apply(policy('shop/typo', 'ALLOW', '[]', 'crat'));
    try {
      const found = await eventually('the finding', async () => {
        const { stdout } = await cli(['policy', 'lint', '-n', 'shop', '-o', 'json']);
        const { items } = JSON.parse(stdout) as { readonly items: readonly PolicyFindingItem[] };
        return items.find(({ name }) => name === 'typo');
      });
      expect(found).toMatchObject({
        code: 'selects-nobody',
        kind: 'AuthorizationPolicy',
        field: 'spec.selector',
      });
    } finally {
      await lab.delete('authorizationpolicy', 'typo', '-n', 'shop');
    }
  });
});
