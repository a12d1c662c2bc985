/** What would become of a connection and what did, asked of a running mesh: the same verdict in the same words. */
import { describe, expect } from '@jest/globals';
import type { ConnectionItem, ExplanationDocument } from '../../src/telemetry/admin-api.ts';
import { cli } from './support/cli.ts';
import { type Lab, labSuite, nodeIds } from './support/lab.ts';
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
  pod('legacy/old', { node: 'node-a' }),
);

const onlyWeb = policy(
  'shop/only-web',
  'ALLOW',
  '[{ from: [{ source: { principals: [cluster.local/ns/shop/sa/web] } }] }]',
  'cart',
);

/** Waits until both nodes have exactly these policies. */
async function inForce(lab: Lab, names: readonly string[]): Promise<void> {
  for (const node of nodeIds) {
    await until(`the policies ${names.join(', ')} on ${node}`, async () => {
      const { items } = await lab.admin<{ readonly items: readonly { readonly key: string }[] }>(
        node,
        '/v1/policies',
      );
      return (
        items
          .map(({ key }) => key)
          .toSorted()
          .join() === names.join()
      );
    });
  }
}

async function explain(
  from: string,
  to: string,
): Promise<{ readonly code: number; readonly answer: ExplanationDocument }> {
  const { code, stdout, stderr } = await cli(['explain', from, to, '-o', 'json']);
  if (stdout === '') throw new Error(stderr);
  return { code, answer: JSON.parse(stdout) as ExplanationDocument };
}

/** The line of the access log about a record. */
const logged = (lab: Lab, { id }: ConnectionItem): Promise<Readonly<Record<string, unknown>>> =>
  eventually(`the log line of ${id}`, () =>
    lab
      .log('node-b')
      .split('\n')
      .filter((line) => line.includes(`"connection":"${id}"`))
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
      .at(-1),
  );

describe('mesh-ebpf explain', () => {
  scenario('tells the way of a connection between two nodes, asked of both', async () => {
    const { code, stdout } = await cli(['explain', 'pod/shop/web', 'cart.shop:7001']);
    expect(stdout).toMatch(/^ALLOWED {2}shop\/web -> cart\.shop:7001 {2}as node-a and node-b have it$/m);
    expect(stdout).toMatch(/^capture +yes: \S+ is Service shop\/cart, which has endpoints in the mesh$/m);
    expect(stdout).toMatch(/^path +HBONE: mutual TLS to \S+:15008$/m);
    expect(stdout).toMatch(/^source .*certificate valid for /m);
    expect(code).toBe(0);
  });

  scenario('denies what the mesh then denies, in the words of the access log', async (lab) => {
    await lab.apply(onlyWeb);
    await inForce(lab, ['shop/only-web']);
    expect((await explain('shop/web', 'cart.shop:7001')).code).toBe(0);
    for (const from of ['other/guest', 'legacy/old']) {
      const { code, answer } = await explain(from, 'cart.shop:7001');
      expect([from, code, answer.outcome]).toEqual([from, 1, 'denied']);
      expect((await lab.client(from, 'greet', lab.pod('shop/cart').ip4)).greeting ?? null).toBeNull();
      const record = await lab.record(
        'node-b',
        `the refusal of ${from}`,
        ({ outcome, source }) => outcome === 'denied' && source.workload === from,
      );
      const line = await logged(lab, record);
      expect(line['error']).toBe(answer.verdict?.error?.message);
      expect(line['verdict.reason']).toBe(answer.verdict?.reason);
      expect(answer.ways[0]?.path).toBe(from === 'legacy/old' ? 'plaintext' : 'hbone');
    }
    expect((await lab.client('shop/web', 'greet', 'cart.shop')).greeting).toBeTruthy();
  });

  scenario('knows the default of a NamespaceAccess, and what may leave the mesh', async (lab) => {
    await lab.apply(namespaceAccess('other/locked', '{ egress: { default: Deny } }'));
    const { answer } = await eventually('node-a to know of it', async () => {
      const asked = await explain('other/guest', '203.0.113.7:443');
      return asked.code === 1 ? asked : undefined;
    });
    const client = await lab.client('other/guest', 'greet', '203.0.113.7');
    expect(client.error).toBe('EPERM');
    const record = await lab.record('node-a', 'the refusal by the kernel', ({ originalDestination }) =>
      originalDestination.startsWith('203.0.113.7:'),
    );
    expect(answer.verdict?.error?.message.replace(':443', ':7001')).toBe(record.error?.message);
    const { stdout } = await cli(['why', `node-a/${record.id}`]);
    expect(stdout).toContain('now: it would be denied again, for the same reason');
    await lab.delete('namespaceaccess', 'locked', '-n', 'other');
  });
});

describe('mesh-ebpf why', () => {
  scenario('tells both ends of a connection by its id, and when it would be otherwise now', async (lab) => {
    expect((await lab.client('other/guest', 'greet', 'cart.shop')).greeting ?? null).toBeNull();
    const record = await lab.record(
      'node-b',
      'the refusal',
      ({ outcome, source, path }) =>
        outcome === 'denied' && source.workload === 'other/guest' && path === 'tunnel',
    );
    const { stdout: denied, code } = await cli([
      'why',
      record.id.length > 0 ? `connection/node-b/${record.id}` : '',
    ]);
    expect(code).toBe(0);
    expect(denied).toMatch(/^DENIED {2}other\/guest -> /);
    expect(denied).toMatch(/^source .* node-a\/c-/m);
    expect(denied).toMatch(/^destination .* node-b\/c-/m);
    expect(denied).toContain(`POLICY_DENIED at policy: ${record.error?.message}`);
    expect(denied).toContain('now: it would be denied again, for the same reason');

    await lab.delete('authorizationpolicy', 'only-web', '-n', 'shop');
    await inForce(lab, []);
    const { stdout: changed } = await cli(['why', record.traceId ?? '']);
    expect(changed).toContain('now: something has changed since, it would be allowed: no policy applies');
  });
});

describe('mesh-ebpf policy test', () => {
  scenario('checks cases against the mesh that runs, before a policy is applied and after', async (lab) => {
    const cases =
      '- { from: shop/web, to: "cart.shop:7001", expect: allow }\n- { from: other/guest, to: "cart.shop:7001", expect: deny }\n';
    const before = await cli(['policy', 'test', '-'], { stdin: cases });
    expect([before.code, before.stdout]).toEqual([1, expect.stringMatching(/2 cases: 1 ok, 1 failed\n$/)]);
    await lab.apply(onlyWeb);
    await inForce(lab, ['shop/only-web']);
    expect(await cli(['policy', 'test', '-'], { stdin: cases })).toMatchObject({
      code: 0,
      stdout: '2 cases: 2 ok, 0 failed\n',
    });
  });
});
