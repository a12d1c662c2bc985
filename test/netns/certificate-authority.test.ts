/**
 * The certificate authority away, late, or of another opinion about the time: certificates in use go on being used,
 * who has none is refused and told why, nothing goes out in plaintext, and nobody touches a pod to get well again.
 */
import { describe, expect } from '@jest/globals';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { netnsPath, nodeNetns } from '../../src/lab/layout.ts';
import { inNetns } from '../../src/lab/system/enter.ts';
import type { ProcessRef } from '../../src/lab/system/process.ts';
import type { CertificateItem, CertificateList, StatusDocument } from '../../src/telemetry/admin-api.ts';
import { LinkCapture } from './support/capture.ts';
import { cli, environment, program } from './support/cli.ts';
import { Lab, labSuite, labSuiteWith, type NodeId, nodeIds } from './support/lab.ts';
import { namespace, pod, serverPod, service, serviceAccount } from './support/manifest.ts';
import { PodProcess } from './support/pod-process.ts';
import { eventually, until } from './support/wait.ts';

/** Upkeep publishes the roots, or an attempt that was put off is due. */
const recoveryMs = 60_000;

const unmeshed = [
  namespace('legacy', 'none'),
  pod('legacy/old', { node: 'node-a' }),
  serverPod('legacy/db', { node: 'node-b' }),
];
const meshed = [
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/near', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
];
const pods = ['shop/web', 'shop/near', 'shop/cart'];

/** Alive, and deaf: nobody gets through to it, and nobody is told so. */
async function hanging(lab: Lab, action: () => Promise<void>): Promise<void> {
  const controller: ProcessRef = await lab.signal('node-a', 'SIGSTOP', 'controller');
  try {
    await action();
  } finally {
    process.kill(controller.pid, 'SIGCONT');
  }
}

/** Every connection to it is refused, those it has are reset. */
async function refusing(action: () => Promise<void>): Promise<void> {
  await nft('add table inet away');
  await nft('add chain inet away input { type filter hook input priority 0; }');
  await nft('add rule inet away input tcp dport 15012 reject with tcp reset');
  try {
    await action();
  } finally {
    await nft('delete table inet away');
  }
}

async function nft(command: string): Promise<void> {
  const argv = inNetns(netnsPath(nodeNetns('node-a')), ['nft', command]);
  const { code, stderr } = await new PodProcess(argv, environment).finished;
  if (code !== 0) throw new Error(`nft ${command}: ${stderr}`);
}

/** Ends the node programs and waits until the next ones answer, ready or not. */
async function restart(lab: Lab, nodes: readonly NodeId[]): Promise<void> {
  const before = await Promise.all(nodes.map((node) => lab.signal(node, 'SIGKILL')));
  await until('the next node programs', async () => {
    const now = await Promise.all(nodes.map((node) => lab.process(node)));
    return now.every((process, i) => process !== undefined && process.pid !== before[i]?.pid);
  });
  for (const node of nodes)
    await until(`${node} to answer`, async () => (await status(lab, node)) !== undefined);
}

const status = (lab: Lab, node: NodeId): Promise<StatusDocument | undefined> =>
  lab.status(node).catch(() => undefined);

/** Waits until the node has captured its pods and knows that it cannot serve them. */
const notServing = (lab: Lab, node: NodeId): Promise<StatusDocument> =>
  eventually(`${node} to say that it has no certificate`, async () => {
    const said = await status(lab, node);
    const [pending, ...more] = said?.readiness.pending ?? [];
    return pending === 'certificates' && more.length === 0 && said?.ca.state === 'unreachable'
      ? said
      : undefined;
  });

async function readiness(lab: Lab, node: NodeId): Promise<string> {
  const url = 'http://127.0.0.1:15021/healthz/ready';
  const { stdout } = await lab.onNode(node, [program, 'lab-app', 'get', url]).finished;
  const { status: code, body } = JSON.parse(stdout) as { readonly status: number; readonly body: string };
  return `${code} ${body.trim()}`;
}

/** Of one identity, as the node holds it. */
async function certificate(lab: Lab, node: NodeId): Promise<CertificateItem> {
  const [first] = (await lab.admin<CertificateList>(node, '/v1/certs')).items;
  if (first === undefined) throw new Error(`${node} holds no certificate`);
  return first;
}

/** Nobody in the mesh may get through, in no direction, and nothing they say may be read on the wire. */
async function refusesEverything(lab: Lab): Promise<void> {
  const capture = await LinkCapture.start('tcp');
  try {
    const attempts = await Promise.all([
      lab.client('shop/web', 'exchange', lab.pod('shop/cart').ip4, 7000, 'words to nobody'),
      lab.client('shop/cart', 'exchange', lab.pod('shop/near').ip4, 7000, 'words to nobody'),
    ]);
    for (const { answer, error } of attempts) expect(error ?? answer).toMatch(/^(ECONNRESET|)$/);
    await lab.client('legacy/old', 'exchange', lab.pod('legacy/db').ip4, 7000, 'the unmeshed pair');
    await capture.seen('the unmeshed pair');
    expect(capture.count('words to nobody')).toBe(0);
  } finally {
    await capture.stop();
  }
}

const serves = async (lab: Lab): Promise<boolean> =>
  (await lab.greets('shop/web', lab.pod('shop/cart').ip4)) &&
  (await lab.greets('shop/cart', lab.pod('shop/near').ip4));

describe('a node that starts before its certificate authority', () => {
  const { scenario } = labSuite(namespace('shop', 'ambient'), ...unmeshed);

  scenario(
    'refuses everything, says why everywhere, and serves the same pods when the authority comes',
    async (before) => {
      const away = Promise.withResolvers<Lab>();
      // Nobody has waited for it yet: no pod needs a certificate.
      await until('the authority to have begun', () => existsSync(before.layout.caRoot));
      await hanging(before, async () => {
        // Where controller and nodes share no file system, the roots come with the controller too.
        rmSync(before.layout.caRoot);
        await restart(before, nodeIds);
        await before.apply(meshed.join(''), '--wait');
        const lab = await Lab.attach();
        away.resolve(lab);
        for (const node of nodeIds) {
          expect(await notServing(lab, node)).toMatchObject({
            health: 'degraded',
            ca: { state: 'unreachable', message: expect.stringContaining('cannot read the roots') },
            problems: expect.arrayContaining([expect.objectContaining({ code: 'UNAVAILABLE' })]),
          });
          expect(await readiness(lab, node)).toBe('503 not ready: certificates');
          expect(lab.log(node)).toContain(
            'no certificate: cannot read the roots of the certificate authority',
          );
        }
        await refusesEverything(lab);
        const said = await cli(['status']);
        expect([said.code, said.stdout]).toEqual([1, expect.stringContaining('not ready: certificates')]);
      });
      const lab = await away.promise;
      const holders = lab.holders(...pods);
      await until('the mesh to serve', () => serves(lab), recoveryMs);
      for (const node of nodeIds) {
        await lab.ready(node);
        expect(await readiness(lab, node)).toBe('200 ready');
      }
      expect(lab.holders(...pods)).toBe(holders);
    },
    150_000,
  );
});

const greets = (lab: Lab, from = 'shop/web'): Promise<boolean> => lab.greets(from, 'cart');

describe('the certificate authority', () => {
  const { scenario } = labSuite(
    namespace('shop', 'ambient'),
    ...meshed,
    service('shop/cart', [7000, 7001]),
    ...unmeshed,
  );

  scenario('may be away while certificates are valid: connections go on, and new ones work', async (lab) => {
    await hanging(lab, async () => {
      const held = await lab.start('shop/web', 'hold', 'cart', 7000, 10);
      expect(await held.nextJson()).toEqual({ open: 10, problems: [] });
      for (let i = 0; i < 5; i++) expect(await greets(lab)).toBe(true);
      expect(await held.result()).toMatchObject({ problems: [] });
    });
  });

  scenario('may be killed: it comes back with its keys, and what it signed stays good', async (lab) => {
    const root = readFileSync(lab.layout.caRoot, 'utf8');
    const killed = await lab.signal('node-a', 'SIGKILL', 'controller');
    expect(await greets(lab)).toBe(true);
    await until(
      'a new controller',
      async () => ![undefined, killed.pid].includes((await lab.process('node-a', 'controller'))?.pid),
    );
    await lab.apply(
      serviceAccount('shop/after') + pod('shop/after', { node: 'node-a', serviceAccount: 'after' }),
      '--wait',
    );
    const now = await Lab.attach();
    await until('a new identity to get its certificate', () => greets(now, 'shop/after'), 40_000);
    expect(readFileSync(lab.layout.caRoot, 'utf8')).toBe(root);
  });

  scenario(
    'away when a pod with a new identity starts fails its connections, coded, and they work when it is back',
    async (lab) => {
      await hanging(lab, async () => {
        await lab.apply(
          serviceAccount('shop/late') + pod('shop/late', { node: 'node-a', serviceAccount: 'late' }),
          '--wait',
        );
        const now = await Lab.attach();
        const { error, greeting } = await now.client('shop/late', 'greet', 'cart');
        expect(greeting ?? error).not.toBeUndefined();
        expect(greeting ?? undefined).toBeUndefined();
        expect(await greets(lab)).toBe(true);
        const record = await lab.record(
          'node-a',
          'the failure',
          ({ source }) => source.workload === 'shop/late',
        );
        expect(record.error?.code).toBe('CERTIFICATE_UNAVAILABLE');
      });
      const now = await Lab.attach();
      await until('the new pod to get through', () => greets(now, 'shop/late'), 40_000);
    },
  );

  scenario(
    'away when a node program starts again leaves it without keys: it refuses, says so, and is well when it can ask',
    async (lab) => {
      const holders = lab.holders(...pods);
      await refusing(async () => {
        await restart(lab, ['node-b']);
        expect(await notServing(lab, 'node-b')).toMatchObject({
          health: 'degraded',
          ca: {
            message: expect.stringMatching(/certificate authority at \S+ cannot be used: .*ECONNREFUSED/),
          },
          pods: { expected: 1, enrolled: 1, verified: expect.any(Number) },
        });
        expect(await readiness(lab, 'node-b')).toBe('503 not ready: certificates');
        expect(lab.log('node-b')).toContain(
          'not ready: pods are captured, their connections are refused so far',
        );
        await refusesEverything(lab);
        for (const direction of ['inbound', 'outbound'] as const) {
          const record = await lab.record(
            'node-b',
            `a refusal ${direction}`,
            (item) => item.direction === direction,
          );
          expect(record.error).toMatchObject({
            code: 'CERTIFICATE_UNAVAILABLE',
            message: expect.stringContaining('ECONNREFUSED'),
          });
        }
        // The other node still has its certificates.
        expect(await readiness(lab, 'node-a')).toBe('200 ready');
      });
      await until('the mesh to serve', () => serves(lab), recoveryMs);
      await lab.ready('node-b');
      expect(lab.holders(...pods)).toBe(holders);
    },
    120_000,
  );
});

describe('the certificate authority, away when certificates are to be renewed', () => {
  const { scenario } = labSuiteWith(
    ['--certificate-lifetime', '60s'],
    namespace('shop', 'ambient'),
    ...meshed,
  );

  scenario(
    'leaves them in use, alarms are raised, and they are renewed when it is back',
    async (lab) => {
      let before: CertificateItem | undefined;
      await refusing(async () => {
        await until('the alarm', () => lab.log('node-b').includes('renewal fails and 50 %'), 60_000);
        before = await certificate(lab, 'node-b');
        expect(before).toMatchObject({ lastError: expect.stringContaining('cannot be used') });
        for (let i = 0; i < 5; i++) expect(await serves(lab)).toBe(true);
        expect(await lab.status('node-b')).toMatchObject({
          health: 'degraded',
          readiness: { ready: true },
          ca: { state: 'unreachable' },
          problems: expect.arrayContaining([expect.objectContaining({ code: 'UNAVAILABLE' })]),
        });
        const metrics = await metricsOf(lab, 'node-b');
        expect(metrics).toMatch(/^mesh_certificates\{state="stale"\} 1$/m);
        expect(metrics).toMatch(/^mesh_ca_requests_total\{result="UNAVAILABLE"\} [1-9]/m);
        const expiry = /^mesh_certificate_next_expiry_timestamp_seconds (\S+)$/m.exec(metrics)?.[1];
        expect(Number(expiry) * 1000).toBe(Date.parse(before.notAfter ?? ''));
      });
      await until(
        'another certificate',
        async () => {
          const now = await certificate(lab, 'node-b');
          return now.serialNumber !== before?.serialNumber && now.lastError === null;
        },
        recoveryMs,
      );
      expect(await serves(lab)).toBe(true);
      expect(await lab.status('node-b')).toMatchObject({ health: 'ok', ca: { state: 'ok' } });
    },
    180_000,
  );
});

async function metricsOf(lab: Lab, node: NodeId): Promise<string> {
  const { stdout } = await lab.onNode(node, [program, 'lab-app', 'get', 'http://127.0.0.1:15020/metrics'])
    .finished;
  return (JSON.parse(stdout) as { readonly body: string }).body;
}

const between = (lab: Lab, from: string, to: string): Promise<boolean> =>
  lab.greets(`shop/${from}`, lab.pod(`shop/${to}`).ip4);

describe('clocks that disagree', () => {
  const offsets = ['node-b=-10m', 'node-c=10m', 'node-d=-20m'].flatMap((offset) => [
    '--clock-offset',
    offset,
  ]);
  const { scenario } = labSuiteWith(
    ['--nodes', '4', ...offsets],
    namespace('shop', 'ambient'),
    ...(['a', 'b', 'c', 'd'] as const).map((id) => serverPod(`shop/${id}`, { node: `node-${id}` })),
  );

  scenario(
    'with the authority by 10 minutes do no harm, even where they add up between two nodes',
    async (lab) => {
      for (const pair of ['a-b', 'b-a', 'a-c', 'c-a', 'b-c', 'c-b']) {
        const [from = '', to = ''] = pair.split('-');
        expect([pair, await between(lab, from, to)]).toEqual([pair, true]);
      }
      for (const node of ['node-a', 'node-b', 'node-c'] as const) {
        const { startedAt, health } = await lab.status(node);
        expect(health).toBe('ok');
        const offMs = { 'node-a': 0, 'node-b': -600_000, 'node-c': 600_000 }[node];
        expect(Math.abs(Date.parse(startedAt) - offMs - Date.now())).toBeLessThan(300_000);
      }
    },
  );

  scenario('by 20 minutes end in a refusal that names the clocks', async (lab) => {
    expect(await notServing(lab, 'node-d')).toMatchObject({
      ca: { message: expect.stringContaining('certificate is not yet valid') },
      problems: [
        expect.objectContaining({ hint: expect.stringContaining('compare the clocks of this node') }),
      ],
    });
    expect(await between(lab, 'd', 'a')).toBe(false);
    expect(await between(lab, 'a', 'd')).toBe(false);
    const { error } = await lab.record('node-d', 'the refusal', ({ direction }) => direction === 'outbound');
    expect(error).toMatchObject({
      code: 'CERTIFICATE_UNAVAILABLE',
      message: expect.stringContaining('not yet valid'),
      hint: expect.stringContaining('clocks'),
    });
    expect(lab.events('shop/d').filter(({ event, port }) => event === 'accepted' && port !== 7000)).toEqual(
      [],
    );
  });
});
