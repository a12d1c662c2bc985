/** The lab without a mesh, on this machine: what Kubernetes would do, and nothing left afterwards. Needs root. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyFiles } from '../../src/lab/commands/apply.ts';
import { labDelete } from '../../src/lab/commands/delete.ts';
import { labDown } from '../../src/lab/commands/down.ts';
import { waitForPods } from '../../src/lab/commands/pods-ready.ts';
import { labStatus } from '../../src/lab/commands/status.ts';
import { labUp } from '../../src/lab/commands/up.ts';
import {
  ask,
  context,
  endpointsOf,
  eventually,
  inside,
  mainProgram,
  runCommand,
  statusOf,
  traces,
} from './lab-support.ts';

jest.setTimeout(120_000);

const shop = new URL('../../examples/shop', import.meta.url).pathname;
const scratch = mkdtempSync(join(tmpdir(), 'mesh-lab-test-'));
const options = { nodes: 2, mesh: false, waitMs: 60_000 };

/** Writes a manifest and applies it. */
async function apply(name: string, text: string): Promise<string> {
  const file = join(scratch, `${name}.yaml`);
  writeFileSync(file, text);
  await applyFiles(context, [file]);
  return file;
}

const remove = (pod: string, graceSeconds = 5) => {
  const [namespace = '', name = ''] = pod.split('/');
  return labDelete(context, {
    names: [{ kind: 'Pod', namespace, name }],
    files: [],
    graceSeconds,
    wait: true,
  });
};

const once = (name: string, code: number): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop}, spec: {restartPolicy: Never, containers: [{name: c, command: [sh, -c, 'exit ${code}']}]}}\n`;

const phaseOf = (pod: string) => async () => (await statusOf(pod))?.phase;

beforeAll(async () => {
  await labUp(context, { ...options, files: [shop] });
});

afterAll(async () => {
  await labDown(context);
  rmSync(scratch, { recursive: true });
});

describe('a running lab', () => {
  it('has every pod ready, on the node it names', async () => {
    const { pods, nodes } = await labStatus(context);
    expect(pods.map(({ name, node, ready }) => [name, node, ready])).toEqual([
      ['batch', 'node-a', true],
      ['printer', 'node-b', true],
      ['cart-1', 'node-a', true],
      ['cart-2', 'node-b', true],
      ['db', 'node-b', true],
      ['web', 'node-a', true],
    ]);
    expect(nodes.every(({ processes }) => processes.every(({ pid }) => pid !== null))).toBe(true);
  });

  it('refuses a second one and leaves the first alone', async () => {
    await expect(labUp(context, { ...options, files: [] })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      hint: expect.stringContaining('lab down'),
    });
    expect((await ask('shop/web', 'printer.legacy')).pod).toBe('printer');
  });

  it.each([
    'printer.legacy',
    'printer.legacy.svc',
    'printer.legacy.svc.cluster.local',
    'printer.legacy.svc.cluster.local.',
  ])('reaches a Service on the other node as %s', async (name) => {
    expect((await ask('shop/web', name)).pod).toBe('printer');
  });

  it('finds a Service of its own namespace by its short name, and not one of another', async () => {
    expect((await ask('legacy/batch', 'printer')).pod).toBe('printer');
    await expect(ask('shop/web', 'printer')).rejects.toThrow('Name or service not known');
  });

  it('has both families, and servers see the real address of their client', async () => {
    const { pods, services } = await labStatus(context);
    const client = pods.find(({ name }) => name === 'web');
    const server = pods.find(({ name }) => name === 'printer');
    const service = services.find(({ name }) => name === 'printer');
    for (const family of [0, 1]) {
      const [own = 'none', pod = 'none', vip = 'none'] = [client, server, service].map(
        (one) => one?.ips[family],
      );
      expect(await ask('shop/web', pod, 8080)).toEqual({ pod: 'printer', client: own });
      expect(await ask('shop/web', vip)).toEqual({ pod: 'printer', client: own });
    }
  });

  it('spreads connections over the endpoints of both nodes', async () => {
    const answered = new Set<string>();
    await eventually(
      async () => answered.add((await ask('shop/web', 'cart')).pod),
      (seen) => seen.size === 2,
    );
    expect([...answered].toSorted()).toEqual(['cart-1', 'cart-2']);
  });

  it('lets a pod reach itself through its Service, in both families', async () => {
    const { services } = await labStatus(context);
    for (const ip of services.find(({ name }) => name === 'web')?.ips ?? []) {
      expect((await ask('shop/web', ip)).pod).toBe('web');
    }
  });

  it('refuses a Service without endpoints, and a port nobody serves, at once', async () => {
    const { services } = await labStatus(context);
    const empty = services.find(({ name }) => name === 'reviews')?.ips ?? [];
    for (const [ip, port] of [...empty.map((each) => [each, 80] as const), ['printer.legacy', 81] as const]) {
      const script = `exec 3<>/dev/tcp/${ip}/${port}`;
      const { code, stderr, milliseconds } = await inside('shop/web', 'bash', '-c', script);
      expect([code, stderr]).toEqual([1, expect.stringContaining('Connection refused')]);
      // Not as from an address where nobody is, after minutes.
      expect(milliseconds).toBeLessThan(10_000);
    }
  });

  it('moves data both ways at once, whole', async () => {
    const { stdout } = await inside(
      'shop/web',
      'mesh-ebpf',
      'lab-app',
      'transfer',
      'db:9000',
      '--megabytes',
      '20',
    );
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, sentWhole: true, receivedWhole: true });
  });

  it('gives pods their own name, resolver and network, and leaves the host’s files alone', async () => {
    const before = readFileSync('/etc/resolv.conf', 'utf8');
    const { stdout } = await inside(
      'shop/web',
      'sh',
      '-c',
      'hostname; cat /etc/resolv.conf; ls /sys/class/net | wc -l',
    );
    expect(stdout).toContain('web\nsearch shop.svc.cluster.local');
    expect(readFileSync('/etc/resolv.conf', 'utf8')).toBe(before);
  });

  it('passes on input, output and exit status of a command in a pod', async () => {
    const exec = [...mainProgram, 'lab', 'exec', '-i', 'web.shop', '--'];
    const { code, stdout } = await runCommand([...exec, 'sh', '-c', 'cat; exit 7'], { input: 'hello' });
    expect([code, stdout]).toEqual([7, 'hello']);
    const killed = await runCommand([...exec, 'sh', '-c', 'kill -9 $$']);
    expect(killed.code).toBe(137);
  });
});

describe('pods that come and go', () => {
  it('get traffic only while they are ready', async () => {
    await apply(
      'late',
      `{apiVersion: v1, kind: Pod, metadata: {name: late, namespace: shop, labels: {app: late}}, spec: {containers: [
         {name: c, command: [mesh-ebpf, lab-app, http], readinessProbe: {tcpSocket: {port: 8081}, periodSeconds: 1, failureThreshold: 1}}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: late, namespace: shop}, spec: {selector: {app: late}, ports: [{port: 80, targetPort: 8080}]}}`,
    );
    const ip = await eventually(
      async () => (await statusOf('shop/late'))?.ips[0] ?? '',
      (seen) => seen !== '',
    );
    await eventually(
      () =>
        ask('shop/web', ip, 8080).then(
          ({ pod }) => pod,
          () => '',
        ),
      (pod) => pod === 'late',
    );
    expect(await statusOf('shop/late')).toMatchObject({ phase: 'Running', ready: false });
    await expect(ask('shop/web', 'late')).rejects.toThrow('Connection refused');

    const open = join(scratch, 'open');
    writeFileSync(open, '');
    const whileOpen = `mesh-ebpf lab-app echo --port 8081 & while [ -e ${open} ]; do sleep 0.1; done; kill $!`;
    const gate = inside('shop/late', 'sh', '-c', whileOpen);
    await eventually(
      () =>
        ask('shop/web', 'late').then(
          ({ pod }) => pod,
          () => '',
        ),
      (pod) => pod === 'late',
    );
    expect(await statusOf('shop/late')).toMatchObject({ ready: true });

    rmSync(open);
    await gate;
    await eventually(
      () =>
        ask('shop/web', 'late').then(
          () => 'answered',
          (error: Error) => error.message,
        ),
      (seen) => seen.includes('Connection refused'),
    );
    expect(endpointsOf(await labStatus(context), 'shop/late')).toEqual({ total: 1, ready: 0 });
    await remove('shop/late');
  });

  it('are started again after a failure, and say why they are not up', async () => {
    await apply(
      'crash',
      `{apiVersion: v1, kind: Pod, metadata: {name: crash, namespace: shop}, spec: {containers: [{name: c, command: [sh, -c, 'exit 3']}]}}`,
    );
    const seen = await eventually(
      () => statusOf('shop/crash'),
      (pod) => (pod?.restarts ?? 0) >= 2,
    );
    expect(seen).toMatchObject({
      ready: false,
      reason: 'CrashLoopBackOff',
      message: expect.stringContaining('exit code 3'),
    });
    await remove('shop/crash');
  });

  it('stay ended where they are not to be restarted', async () => {
    await apply('once', `${once('good', 0)}---\n${once('bad', 4)}`);
    await eventually(phaseOf('shop/good'), (phase) => phase === 'Succeeded');
    await eventually(phaseOf('shop/bad'), (phase) => phase === 'Failed');
    await expect(waitForPods(context, 1000)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await Promise.all([remove('shop/good'), remove('shop/bad')]);
  });

  it('end gracefully: out of the Service first, then SIGTERM, then gone', async () => {
    const note = join(scratch, 'note');
    const script = `trap 'sleep 0.5; echo ended > ${note}; exit 0' TERM; echo started > ${note}; while :; do sleep 0.05; done`;
    const file = await apply(
      'polite',
      `{apiVersion: v1, kind: Pod, metadata: {name: polite, namespace: shop, labels: {app: polite}}, spec: {containers: [{name: c, command: [sh, -c, "${script}"]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: polite, namespace: shop}, spec: {selector: {app: polite}, ports: [{port: 80}]}}`,
    );
    await waitForPods(context, 20_000);
    await eventually(
      async () => readNote(note),
      (text) => text === 'started\n',
    );
    const netns = (await statusOf('shop/polite'))?.netns ?? 'none';
    const gone = labDelete(context, { names: [], files: [file], graceSeconds: 20, wait: true });
    await eventually(
      async () => (await statusOf('shop/polite'))?.phase,
      (phase) => phase === 'Terminating',
    );
    await gone;
    expect(readNote(note)).toBe('ended\n');
    expect(await statusOf('shop/polite')).toBeUndefined();
    expect((await traces()).filter((trace) => trace.includes(netns))).toEqual([]);
  });

  it('are ended by force when they do not end by themselves', async () => {
    const stubborn = `trap '' TERM; sleep 1000 & while :; do sleep 1; done`;
    await apply(
      'stubborn',
      `{apiVersion: v1, kind: Pod, metadata: {name: stubborn, namespace: shop}, spec: {containers: [{name: c, command: [sh, -c, "${stubborn}"]}]}}`,
    );
    await waitForPods(context, 20_000);
    const startedAt = Date.now();
    await remove('shop/stubborn', 1);
    expect(Date.now() - startedAt).toBeGreaterThan(900);
    expect(await statusOf('shop/stubborn')).toBeUndefined();
  });

  it('are refused with every mistake and its place, and nothing is changed', async () => {
    const before = (await labStatus(context)).pods.length;
    const text = `{apiVersion: v1, kind: Pod, metadata: {name: fine, namespace: shop}, spec: {containers: [{name: c}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: lost, namespace: shop}
spec: {nodeName: node-z, containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stray, namespace: nowhere}
spec: {containers: [{name: c}]}
`;
    await expect(apply('mistakes', text)).rejects.toMatchObject({
      code: 'INVALID_MANIFEST',
      message: expect.stringMatching(
        /mistakes\.yaml:3:1: pod\/shop\/lost: .*node-z[^]*mistakes\.yaml:8:1: .*nowhere/,
      ),
    });
    expect((await labStatus(context)).pods).toHaveLength(before);
  });

  it('take along everything in their namespace', async () => {
    await apply(
      'whole',
      `{apiVersion: v1, kind: Namespace, metadata: {name: whole}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: whole}, spec: {containers: [{name: c}]}}`,
    );
    await waitForPods(context, 20_000);
    await labDelete(context, {
      names: [{ kind: 'Namespace', namespace: '', name: 'whole' }],
      files: [],
      graceSeconds: undefined,
      wait: true,
    });
    expect(await statusOf('whole/p')).toBeUndefined();
    await expect(
      apply(
        'again',
        `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: whole}, spec: {containers: [{name: c}]}}`,
      ),
    ).rejects.toMatchObject({ code: 'INVALID_MANIFEST' });
  });

  it('can be two hundred, and all of them end', async () => {
    const pods = Array.from(
      { length: 200 },
      (_, i) =>
        `{apiVersion: v1, kind: Pod, metadata: {name: p${i}, namespace: many}, spec: {containers: [{name: c}]}}`,
    );
    const file = await apply(
      'many',
      ['{apiVersion: v1, kind: Namespace, metadata: {name: many}}', ...pods].join('\n---\n'),
    );
    await waitForPods(context, 60_000);
    const ips = (await labStatus(context)).pods.flatMap((pod) => pod.ips);
    expect(new Set(ips).size).toBe(ips.length);
    await labDelete(context, { names: [], files: [file], graceSeconds: undefined, wait: true });
    expect((await labStatus(context)).pods.filter(({ namespace }) => namespace === 'many')).toEqual([]);
    expect((await traces()).filter((trace) => trace.startsWith('mesh-lab-p-'))).toHaveLength(6);
  });
});

describe('the end of a lab', () => {
  it('leaves nothing: no namespace, cgroup, process, mount or file', async () => {
    await labDown(context);
    expect(await traces()).toEqual([]);
  });

  it('is no error where there is no lab', async () => {
    expect(await labDown(context)).toEqual({ processes: 0, namespaces: 0 });
  });

  it('also clears up after a crash that took the state file', async () => {
    await labUp(context, { ...options, files: [shop] });
    for (const { processes } of (await labStatus(context)).nodes) {
      for (const { pid } of processes) if (pid !== null) process.kill(pid, 'SIGKILL');
    }
    rmSync(context.layout.stateDir, { recursive: true });
    await expect(labUp(context, { ...options, files: [] })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      hint: 'mesh-ebpf lab down',
    });
    await labDown(context);
    expect(await traces()).toEqual([]);
  });

  it('comes by itself when a lab cannot be started', async () => {
    const broken = { ...context, program: ['/bin/false'] as const };
    await expect(labUp(broken, { ...options, files: [shop] })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await traces()).toEqual([]);
  });
});

function readNote(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
