/** Authorization in a running mesh: policies as Kubernetes objects, decided on proved identities. */
import { describe, expect } from '@jest/globals';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConnectionItem } from '../../src/telemetry/admin-api.ts';
import { cli } from './support/cli.ts';
import { type ClientAnswer, type Lab, labStatus, labSuite } from './support/lab.ts';
import {
  namespace,
  peerAuthentication,
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
  serviceAccount('shop/batch'),
  pod('shop/web', { node: 'node-a', serviceAccount: 'web' }),
  pod('shop/batch', { node: 'node-a', serviceAccount: 'batch' }),
  serverPod('shop/cart', { node: 'node-b' }),
  serverPod('shop/near', { node: 'node-a' }),
  service('shop/cart', [7000, 7001]),
  namespace('other', 'ambient'),
  pod('other/guest', { node: 'node-a' }),
  namespace('legacy', 'none'),
  pod('legacy/old', { node: 'node-a' }),
);

const refused = ['ECONNREFUSED', 'ECONNRESET'];

/** Which of the clients may connect to the host. */
async function admitted(lab: Lab, host: string, port = 7001): Promise<Readonly<Record<string, boolean>>> {
  const clients = ['shop/web', 'shop/batch', 'other/guest', 'legacy/old'];
  const answers = await Promise.all(clients.map((path) => lab.client(path, 'greet', host, port)));
  return Object.fromEntries(clients.map((path, i) => [path, verdict(answers[i])]));
}

function verdict(answer: ClientAnswer | undefined): boolean {
  const refusal = answer?.error ?? (answer?.greeting === null ? 'ECONNRESET' : undefined);
  if (refusal !== undefined) expect(refused).toContain(refusal);
  return refusal === undefined;
}

/** Applies policies, waits until both nodes have exactly these, and removes them after the action. */
async function under(
  lab: Lab,
  yaml: string,
  names: readonly string[],
  action: () => Promise<void>,
  kind = 'authorizationpolicy',
): Promise<void> {
  await lab.apply(yaml);
  await inForce(lab, names);
  try {
    await action();
  } finally {
    for (const name of names)
      await lab.delete(kind, name.split('/')[1] ?? '', '-n', name.split('/')[0] ?? '');
    await inForce(lab, []);
  }
}

async function inForce(lab: Lab, names: readonly string[]): Promise<void> {
  for (const node of ['node-a', 'node-b'] as const) {
    await until(`the policies ${names.join(', ')} on ${node}`, async () => {
      const { items } = await lab.admin<{ readonly items: readonly { namespace: string; name: string }[] }>(
        node,
        '/v1/policies',
      );
      return (
        items
          .map(({ namespace: where, name }) => `${where}/${name}`)
          .toSorted()
          .join() === names.toSorted().join()
      );
    });
  }
}

const podStatus = async (namespaceName: string, name: string) =>
  (await labStatus()).pods.find((one) => one.namespace === namespaceName && one.name === name);

const accepted = (lab: Lab): number =>
  lab.events('shop/cart').filter(({ event, port }) => event === 'accepted' && port === 7001).length;

describe('without a policy', () => {
  scenario('everybody is admitted', async (lab) => {
    expect(await admitted(lab, lab.pod('shop/cart').ip4)).toEqual({
      'shop/web': true,
      'shop/batch': true,
      'other/guest': true,
      'legacy/old': true,
    });
  });
});

describe('a policy', () => {
  scenario(
    'that denies a namespace refuses it before a byte reaches the application, and says why',
    async (lab) => {
      const deny = policy(
        'shop/no-guests',
        'DENY',
        '[{ from: [{ source: { namespaces: [other] } }] }]',
        'cart',
      );
      await under(lab, deny, ['shop/no-guests'], async () => {
        const before = accepted(lab);
        expect(verdict(await lab.client('other/guest', 'greet', lab.pod('shop/cart').ip4))).toBe(false);
        expect(verdict(await lab.client('other/guest', 'greet', 'cart.shop'))).toBe(false);
        expect(verdict(await lab.client('shop/web', 'greet', 'cart'))).toBe(true);
        // The allowed connection came last: all that was delivered before it is in the server's list.
        await until('the server to tell of it', () => accepted(lab) > before);
        expect(accepted(lab)).toBe(before + 1);

        const record = await lab.record('node-b', 'the refusal', ({ outcome }) => outcome === 'denied');
        expect(record.verdict).toMatchObject({ allowed: false, policy: 'shop/no-guests' });
        expect(record.source.identity).toBe('spiffe://cluster.local/ns/other/sa/default');
        expect(record.bytesSent + record.bytesReceived).toBe(0);
        const line = await eventually('a log line of the refusal', () =>
          lab
            .log('node-b')
            .split('\n')
            .find((text) => text.includes('POLICY_DENIED')),
        );
        expect(JSON.parse(line)).toMatchObject({
          'verdict.policy': 'shop/no-guests',
          'src.namespace': 'other',
          'src.workload': 'guest',
          'dst.workload': 'cart',
        });
      });
    },
  );

  scenario('is named by "mesh-ebpf connections --denied", with its reason', async () => {
    const { code, stdout } = await cli(['connections', '--denied', '-o', 'json']);
    expect(code).toBe(0);
    const { items } = JSON.parse(stdout) as { readonly items: readonly ConnectionItem[] };
    expect(items.length).toBeGreaterThan(0);
    const inbound = items.filter(({ direction }) => direction === 'inbound');
    expect(inbound.map(({ outcome }) => outcome)).toEqual(inbound.map(() => 'denied'));
    expect(inbound[0]?.verdict).toMatchObject({ allowed: false, policy: 'shop/no-guests' });
    expect(inbound[0]?.verdict?.reason).toContain('other');
    expect((await cli(['connections', '--denied'])).stdout).toContain('shop/no-guests');
  });

  scenario('that denies a principal refuses only that one', async (lab) => {
    const principals = '[{ from: [{ source: { principals: [cluster.local/ns/shop/sa/batch] } }] }]';
    await under(lab, policy('shop/no-batch', 'DENY', principals), ['shop/no-batch'], async () => {
      const expected = { 'shop/web': true, 'shop/batch': false, 'other/guest': true, 'legacy/old': true };
      expect(await admitted(lab, lab.pod('shop/cart').ip4)).toEqual(expected);
      expect(await admitted(lab, lab.pod('shop/near').ip4)).toEqual(expected);
    });
  });

  scenario('that allows a principal refuses everybody else, and all without an identity', async (lab) => {
    const principals = '[{ from: [{ source: { principals: [cluster.local/ns/shop/sa/web] } }] }]';
    await under(lab, policy('shop/only-web', 'ALLOW', principals, 'cart'), ['shop/only-web'], async () => {
      expect(await admitted(lab, lab.pod('shop/cart').ip4)).toEqual({
        'shop/web': true,
        'shop/batch': false,
        'other/guest': false,
        'legacy/old': false,
      });
      expect(verdict(await lab.client('other/guest', 'greet', lab.pod('shop/near').ip4))).toBe(true);
    });
  });

  scenario('that denies a port leaves the others open, to plaintext too', async (lab) => {
    const ports = '[{ to: [{ operation: { ports: ["7001"] } }] }]';
    await under(lab, policy('shop/no-greeting', 'DENY', ports, 'cart'), ['shop/no-greeting'], async () => {
      const { ip4 } = lab.pod('shop/cart');
      expect(Object.values(await admitted(lab, ip4))).toEqual([false, false, false, false]);
      for (const path of ['shop/web', 'legacy/old']) {
        expect(await lab.client(path, 'exchange', ip4, 7000, 'still open')).toMatchObject({
          answer: 'still open',
        });
      }
    });
  });

  scenario('applied to live connections ends those it denies, and no others', async (lab) => {
    const { ip4 } = lab.pod('shop/cart');
    const doomed = await lab.start('shop/batch', 'stream', ip4, 7000);
    const spared = await lab.start('shop/web', 'stream', ip4, 7000);
    await Promise.all([doomed.nextJson(), spared.nextJson()]);
    const principals = '[{ from: [{ source: { principals: ["*/sa/batch"] } }] }]';
    await under(lab, policy('shop/no-batch', 'DENY', principals), ['shop/no-batch'], async () => {
      // Nobody asks it to stop.
      const { stdout } = await doomed.finished;
      expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ error: 'ECONNRESET' });
      const { moved, ended } = await spared.result<{ readonly moved: number; readonly ended: string }>();
      expect(ended).toBe('by command');
      expect(moved).toBeGreaterThan(0);
    });
    const record = await lab.record(
      'node-b',
      'the ended connection',
      ({ error, bytesSent }) => error?.code === 'POLICY_DENIED' && bytesSent > 0,
    );
    expect(record.error?.message).toContain('no-batch');
    expect(record.verdict).toMatchObject({ allowed: false, policy: 'shop/no-batch' });
  });

  scenario('that cannot be read leaves the last good one in force, and is reported', async (lab) => {
    const deny = policy('shop/no-guests', 'DENY', '[{ from: [{ source: { namespaces: [other] } }] }]');
    await under(lab, deny, ['shop/no-guests'], async () => {
      const broken = join(lab.layout.objects, 'broken.yaml');
      writeFileSync(`${broken}.tmp`, deny.replace('namespaces: [other]', 'namespaces: [other'));
      renameSync(`${broken}.tmp`, broken);
      try {
        await until('the nodes to report the file', async () => {
          const { problems } = await lab.status('node-b');
          return problems.some(({ subject }) => subject.includes('broken.yaml:'));
        });
        const { code, stdout } = await cli(['status']);
        expect(code).toBe(1);
        expect(stdout).toMatch(/broken\.yaml:\d+:\d+/);
        expect(verdict(await lab.client('other/guest', 'greet', lab.pod('shop/cart').ip4))).toBe(false);
        expect(verdict(await lab.client('shop/web', 'greet', 'cart'))).toBe(true);
      } finally {
        rmSync(broken);
      }
      await until(
        'the nodes to be well again',
        async () => (await lab.status('node-b')).problems.length === 0,
      );
    });
  });
});

describe('mutual TLS', () => {
  const only = (mode: string, rest = '') => peerAuthentication('shop/default', mode, rest);

  scenario(
    'that is STRICT refuses plaintext before a byte reaches the application, and leaves probes alone',
    async (lab) => {
      await under(
        lab,
        only('STRICT'),
        ['shop/default'],
        async () => {
          const expected = { 'shop/web': true, 'shop/batch': true, 'other/guest': true, 'legacy/old': false };
          expect(await admitted(lab, lab.pod('shop/cart').ip4)).toEqual(expected);
          expect(await admitted(lab, lab.pod('shop/near').ip4)).toEqual(expected);
          const before = accepted(lab);
          expect(verdict(await lab.client('legacy/old', 'greet', lab.pod('shop/cart').ip4))).toBe(false);
          expect(verdict(await lab.client('shop/web', 'greet', 'cart'))).toBe(true);
          await until('the server to tell of it', () => accepted(lab) > before);
          expect(accepted(lab)).toBe(before + 1);
          const record = await lab.record(
            'node-b',
            'the refusal of plaintext',
            ({ outcome, source }) => outcome === 'denied' && source.workload === 'legacy/old',
          );
          expect(record.verdict).toMatchObject({ allowed: false, policy: 'peerauthentication/shop/default' });
          expect(record.verdict?.reason).toContain('STRICT');
          // The kubelet's connections come from the node, once a second. Not ready after three that fail.
          const since = Date.now();
          await until('the kubelet to have asked a few times', () => Date.now() - since > 5000);
          expect((await podStatus('shop', 'cart'))?.ready).toBe(true);
        },
        'peerauthentication',
      );
    },
  );

  scenario('of a port may differ from its workload’s', async (lab) => {
    const selector =
      'selector: { matchLabels: { app: cart } }\n  portLevelMtls: { 7000: { mode: PERMISSIVE } }';
    await under(
      lab,
      only('STRICT', selector),
      ['shop/default'],
      async () => {
        const { ip4 } = lab.pod('shop/cart');
        expect(verdict(await lab.client('legacy/old', 'greet', ip4))).toBe(false);
        expect(await lab.client('legacy/old', 'exchange', ip4, 7000, 'in the open')).toMatchObject({
          answer: 'in the open',
        });
        expect(verdict(await lab.client('legacy/old', 'greet', lab.pod('shop/near').ip4))).toBe(true);
      },
      'peerauthentication',
    );
  });

  scenario('that becomes STRICT ends live plaintext connections, and says by which policy', async (lab) => {
    const doomed = await lab.start('legacy/old', 'stream', lab.pod('shop/cart').ip4, 7000);
    await doomed.nextJson();
    await under(
      lab,
      only('STRICT'),
      ['shop/default'],
      async () => {
        const { stdout } = await doomed.finished;
        expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ error: 'ECONNRESET' });
        const record = await lab.record(
          'node-b',
          'the ended connection',
          ({ error, bytesSent }) => error?.message.startsWith('late denial') === true && bytesSent > 0,
        );
        expect(record.error?.message).toContain('late denial: policy peerauthentication/shop/default');
      },
      'peerauthentication',
    );
  });
});

describe('a change of policy while a node program is away', () => {
  scenario('is in force before the first connection after its return', async (lab) => {
    const { ip4 } = lab.pod('shop/cart');
    expect(verdict(await lab.client('other/guest', 'greet', ip4))).toBe(true);
    const held = await lab.signal('node-b', 'SIGSTOP', 'worker');
    try {
      await lab.apply(policy('shop/no-guests', 'DENY', '[{ from: [{ source: { namespaces: [other] } }] }]'));
    } finally {
      process.kill(held.pid, 'SIGKILL');
    }
    // The first that arrives waits in the listen queue for the next node program.
    expect(verdict(await lab.client('other/guest', 'greet', ip4))).toBe(false);
    await inForce(lab, ['shop/no-guests']);
    await lab.delete('authorizationpolicy', 'no-guests', '-n', 'shop');
    await inForce(lab, []);
  });
});

describe('a policy for pods that are not there yet', () => {
  scenario('is in force when they come, and no longer when it is deleted', async (lab) => {
    const deny = policy(
      'shop/no-guests',
      'DENY',
      '[{ from: [{ source: { namespaces: [other] } }] }]',
      'late',
    );
    await under(lab, deny, ['shop/no-guests'], async () => {
      await lab.apply(serverPod('shop/late', { node: 'node-b' }));
      await until('the pod to be ready', async () => (await podStatus('shop', 'late'))?.ready === true);
      const [ip4 = ''] = (await podStatus('shop', 'late'))?.ips ?? [];
      expect(verdict(await lab.client('other/guest', 'greet', ip4))).toBe(false);
      expect(verdict(await lab.client('shop/web', 'greet', ip4))).toBe(true);
    });
    const [ip4] = (await podStatus('shop', 'late'))?.ips ?? [];
    expect(verdict(await lab.client('other/guest', 'greet', ip4))).toBe(true);
  });
});
