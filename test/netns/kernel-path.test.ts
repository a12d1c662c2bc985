/** Pods of one node that reach each other in the kernel alone: under the same policies, and told of like all others. */
import { describe, expect } from '@jest/globals';
import type { ConnectionItem } from '../../src/telemetry/admin-api.ts';
import { cli } from './support/cli.ts';
import { type ClientAnswer, type Lab, labSuiteWith } from './support/lab.ts';
import {
  namespace,
  peerAuthentication,
  pod,
  policy,
  serverPod,
  service,
  serviceAccount,
} from './support/manifest.ts';
import { until } from './support/wait.ts';

const here = { node: 'node-a' } as const;

const { scenario } = labSuiteWith(
  ['--same-node', 'kernel'],
  namespace('shop', 'ambient'),
  serviceAccount('shop/web'),
  serviceAccount('shop/batch'),
  pod('shop/web', { ...here, serviceAccount: 'web' }),
  pod('shop/batch', { ...here, serviceAccount: 'batch' }),
  serverPod('shop/cart', here),
  service('shop/cart', [7000, 7001]),
  // No Service leads there: nobody can know beforehand who is going to dial it.
  serverPod('shop/alone', here),
  serverPod('shop/far', { node: 'node-b' }),
  namespace('quiet', 'ambient').replace(
    '  name: quiet\n',
    '  name: quiet\n  annotations: { mesh-ebpf.io/same-node: hbone }\n',
  ),
  pod('quiet/web', here),
  namespace('legacy', 'none'),
  pod('legacy/old', here),
);

const refused = ['ECONNREFUSED', 'ECONNRESET', null];

/** A connection from `web`, and the record of the destination's side. */
async function greeted(lab: Lab, host: string, from = 'shop/web'): Promise<[ClientAnswer, ConnectionItem]> {
  const answer = await lab.client(from, 'greet', host);
  const record = await lab.record(
    'node-a',
    `the connection from port ${answer.own?.[1]}`,
    ({ source, direction }) => direction === 'inbound' && source.address.endsWith(`:${answer.own?.[1]}`),
  );
  return [answer, record];
}

/** Makes connections until the kernel carries them by itself. */
const warm = (lab: Lab, host: string, from = 'shop/web'): Promise<void> =>
  until('the kernel path', async () => (await greeted(lab, host, from))[1].path === 'kernel');

const outcome = async (lab: Lab, from: string, host: string): Promise<string | null> => {
  const { error, greeting } = await lab.client(from, 'greet', host);
  return error ?? (greeting === null ? null : 'greeted');
};

async function under(
  lab: Lab,
  yaml: string,
  kind: string,
  name: string,
  action: () => Promise<void>,
): Promise<void> {
  await lab.apply(yaml);
  try {
    await action();
  } finally {
    await lab.delete(kind, name, '-n', 'shop');
  }
}

const denyBatch = policy(
  'shop/no-batch',
  'DENY',
  '[{ from: [{ source: { principals: [cluster.local/ns/shop/sa/batch] } }] }]',
  'cart',
);
const denyAll = policy('shop/nobody', 'DENY', '[{}]', 'cart');

describe.each(['ip4', 'ip6'] as const)('between pods of one node, over %s,', (family) => {
  scenario('the kernel carries it alone', async (lab) => {
    const { [family]: host } = lab.pod('shop/cart');
    await warm(lab, host);
    const [answer, record] = await greeted(lab, host);
    const { [family]: client } = lab.pod('shop/web');
    expect(answer.peer?.[0]).toBe(host);
    // The application sees the client's own address and port: nobody is in between.
    expect(answer.greeting?.client).toEqual(answer.own);
    expect(answer.own?.[0]).toBe(client);
    expect(record).toMatchObject({
      path: 'kernel',
      source: { workload: 'shop/web', identity: 'spiffe://cluster.local/ns/shop/sa/web' },
      destination: { workload: 'shop/cart' },
      outcome: 'completed',
      verdict: { allowed: true },
      bytesSent: 0,
    });
    expect(record.bytesReceived).toBeGreaterThan(20);
    const other = await lab.record(
      'node-a',
      'the other side',
      ({ traceId, direction }) => traceId === record.traceId && direction === 'outbound',
    );
    expect(other).toMatchObject({ path: 'kernel', bytesReceived: record.bytesReceived });
  });
});

interface VerdictItem {
  readonly port: number;
  readonly state: string;
  readonly verdict?: { readonly policy?: string };
}

/** On connections to the port that greets. */
const verdictOn = async (source: string, destination: string): Promise<VerdictItem | undefined> => {
  const filter = ['--source', source, '--destination', destination, '--node', 'node-a'];
  const { code, stdout } = await cli(['verdicts', ...filter, '-o', 'json']);
  expect(code).toBe(0);
  return (JSON.parse(stdout) as { items: VerdictItem[] }).items.find(({ port }) => port === 7001);
};

const callersOf = (name: string): string =>
  policy(
    'shop/callers',
    'ALLOW',
    `[{ from: [{ source: { principals: [cluster.local/ns/shop/sa/${name}] } }] }]`,
    'cart',
  );

scenario('where a Service leads, the first connection of a pair is the kernel’s, too', async (lab) => {
  const { ip4 } = lab.pod('shop/cart');
  await under(lab, callersOf('batch'), 'authorizationpolicy', 'callers', async () => {
    await until('a verdict that nobody asked for', async () => {
      const found = await verdictOn('shop/batch', ip4);
      return found?.state === 'in force' && found.verdict?.policy === 'shop/callers';
    });
    const [, record] = await greeted(lab, ip4, 'shop/batch');
    expect(record.path).toBe('kernel');
    expect((await verdictOn('shop/web', ip4))?.state).not.toBe('in force');
    expect(refused).toContain(await outcome(lab, 'shop/web', ip4));
  });
});

scenario('where none leads, ztunnel is asked once, and then the kernel carries it', async (lab) => {
  const { ip4 } = lab.pod('shop/alone');
  const [, first] = await greeted(lab, ip4);
  expect(first.path).toBe('local');
  await warm(lab, ip4);
});

scenario(
  'the verdicts say who may reach whom, by which policy, and when that counts no more',
  async (lab) => {
    const { ip4 } = lab.pod('shop/cart');
    await under(lab, callersOf('web'), 'authorizationpolicy', 'callers', async () => {
      await warm(lab, ip4);
      expect(await verdictOn('shop/web', ip4)).toMatchObject({
        source: 'shop/web',
        sourceIp: lab.pod('shop/web').ip4,
        destination: 'shop/cart',
        state: 'in force',
        verdict: { outcome: 'allowed', policy: 'shop/callers' },
      });
    });
    await under(lab, denyAll, 'authorizationpolicy', 'nobody', () =>
      until(
        'the verdict to be outdated',
        async () => (await verdictOn('shop/web', ip4))?.state === 'outdated',
      ),
    );
  },
);

scenario(
  'what ztunnel delivers in a client’s name has no port that the client may get itself',
  async (lab) => {
    const { ip4 } = lab.pod('shop/alone');
    let port: number | undefined;
    await under(lab, denyBatch, 'authorizationpolicy', 'no-batch', () =>
      until('ztunnel to be asked', async () => {
        const [{ greeting }, { path }] = await greeted(lab, ip4);
        port = path === 'local' ? greeting?.client[1] : undefined;
        return path === 'local';
      }),
    );
    // Such a one would meet the connection that is there, and hang.
    expect(port).toBeGreaterThan(60_999);
  },
);

scenario('a half-close and a reset come through as they are, and bytes are told', async (lab) => {
  const { ip4 } = lab.pod('shop/cart');
  await lab.client('shop/web', 'half_close', ip4, 7003, 10);
  await lab.client('shop/web', 'be_reset', ip4);
  const halfClosed = await lab.client<ClientAnswer & { expected: string }>(
    'shop/web',
    'half_close',
    ip4,
    7003,
    300_000,
  );
  expect(halfClosed.answer).toBe(halfClosed.expected);
  expect(await lab.client('shop/web', 'be_reset', ip4)).toMatchObject({ error: 'ECONNRESET' });
  const record = await lab.record(
    'node-a',
    'the half-closed connection',
    ({ path, direction, bytesSent }) => path === 'kernel' && direction === 'inbound' && bytesSent === 300_000,
  );
  expect(record.bytesReceived).toBe(halfClosed.expected.length + 1);
});

scenario('what is not for it takes the way it took: other nodes, pods that ask for HBONE', async (lab) => {
  const { ip4 } = lab.pod('shop/cart');
  await warm(lab, ip4);
  expect(await outcome(lab, 'shop/web', lab.pod('shop/far').ip4)).toBe('greeted');
  for (let i = 0; i < 2; i++) expect(await outcome(lab, 'quiet/web', ip4)).toBe('greeted');
  const tunnelled = await lab.record(
    'node-a',
    'the tunnel of the pod that asks for HBONE',
    ({ source, direction }) => direction === 'inbound' && source.workload === 'quiet/web',
  );
  expect(tunnelled.path).toBe('tunnel');
  const records = await lab.connections('node-a');
  expect(records.filter(({ source, path }) => source.workload === 'quiet/web' && path === 'kernel')).toEqual(
    [],
  );
});

scenario('pods outside the mesh and the node are not taken for pods inside', async (lab) => {
  const { ip4 } = lab.pod('shop/cart');
  await warm(lab, ip4);
  const strict = peerAuthentication('shop/strict', 'STRICT');
  await under(lab, strict, 'peerauthentication', 'strict', async () => {
    await until('the plaintext of strangers to be refused', async () =>
      refused.includes(await outcome(lab, 'legacy/old', ip4)),
    );
    // Whose it is the kernel knows: as good as mutual TLS.
    await warm(lab, ip4);
  });
});

scenario('a policy that denies cuts what is open, and lets nothing in', async (lab) => {
  const { ip4 } = lab.pod('shop/cart');
  await warm(lab, ip4);
  await lab.client('shop/web', 'exchange', ip4, 7000, 'the first one goes through ztunnel');
  const held = await lab.start('shop/web', 'hold', ip4, 7000, 5);
  expect(await held.nextJson()).toEqual({ open: 5, problems: [] });
  await under(lab, denyAll, 'authorizationpolicy', 'nobody', async () => {
    await until('new ones to be refused', async () => refused.includes(await outcome(lab, 'shop/web', ip4)));
    const cut = await lab.record(
      'node-a',
      'a late denial',
      ({ path, direction, error }) =>
        path === 'kernel' && direction === 'inbound' && error?.message.includes('late denial') === true,
    );
    expect(cut).toMatchObject({ outcome: 'denied', verdict: { allowed: false, policy: 'shop/nobody' } });
    for (let i = 0; i < 5; i++) expect(refused).toContain(await outcome(lab, 'shop/web', ip4));
  });
  const { problems } = await held.result<{ problems: readonly string[] }>();
  expect(problems).toHaveLength(5);
  await warm(lab, ip4);
});

scenario('a policy that denies one of two denies that one only', async (lab) => {
  const { ip4 } = lab.pod('shop/cart');
  await warm(lab, ip4);
  await warm(lab, ip4, 'shop/batch');
  await under(lab, denyBatch, 'authorizationpolicy', 'no-batch', async () => {
    await until('one to be refused', async () => refused.includes(await outcome(lab, 'shop/batch', ip4)));
    await warm(lab, ip4);
    for (let i = 0; i < 3; i++) expect(refused).toContain(await outcome(lab, 'shop/batch', ip4));
  });
});

scenario('two pods that dial each other at once do not get past the policies of both', async (lab) => {
  const everywhere = policy('shop/nothing', 'DENY', '[{}]');
  await under(lab, everywhere, 'authorizationpolicy', 'nothing', async () => {
    await until('all to be refused', async () =>
      refused.includes(await outcome(lab, 'shop/web', lab.pod('shop/cart').ip4)),
    );
    const answers = await Promise.all([
      lab.client('shop/web', 'simultaneous', lab.pod('shop/batch').ip4, 6002, 6001),
      lab.client('shop/batch', 'simultaneous', lab.pod('shop/web').ip4, 6001, 6002),
    ]);
    expect(answers.map(({ answer }) => answer)).toEqual([undefined, undefined]);
  });
});

scenario(
  'a node program killed with -9 under load cuts nothing and lets nothing in that is denied',
  async (lab) => {
    const { ip4 } = lab.pod('shop/cart');
    await under(lab, denyBatch, 'authorizationpolicy', 'no-batch', async () => {
      await until('one to be refused', async () => refused.includes(await outcome(lab, 'shop/batch', ip4)));
      await warm(lab, ip4);
      await lab.client('shop/web', 'exchange', ip4, 7000, 'the first one goes through ztunnel');
      const held = await lab.start('shop/web', 'hold', ip4, 7000, 20);
      expect(await held.nextJson()).toEqual({ open: 20, problems: [] });
      const allowed = await lab.start('shop/web', 'knock', ip4, 7001);
      const denied = await lab.start('shop/batch', 'knock', ip4, 7001);
      for (let i = 0; i < 3; i++) {
        const killed = await lab.signal('node-a', 'SIGKILL', 'worker');
        await lab.replaced('node-a', killed, 'worker');
      }
      const [good, bad] = [await allowed.result<Knocks>(), await denied.result<Knocks>()];
      expect(bad.done).toBe(0);
      expect(good.done).toBeGreaterThan(20);
      expect(good.failures.length).toBeLessThanOrEqual(10);
      expect((await held.result<{ problems: readonly string[] }>()).problems).toEqual([]);
    });
  },
);

interface Knocks {
  readonly done: number;
  readonly failures: readonly unknown[];
}
