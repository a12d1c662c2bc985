/** Programs in pods, over a real TLS connection and WebSocket to what speaks as an API server does. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromKubeconfig } from '../../../src/kube/client/kube-config.ts';
import { type PodProcess, type ProcessEnd, startInPod } from '../../../src/kube/client/pod-exec.ts';
import {
  type ExecServer,
  execServer,
  type ExecServerOptions,
  type ServedProgram,
  token,
} from './exec-server.ts';

const directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-exec-'));
const kubeconfig = join(directory, 'config');
const opened: ExecServer[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (server) => await server.close()));
});
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

async function serve(options: ExecServerOptions): Promise<ExecServer> {
  const server = await execServer(options);
  opened.push(server);
  writeFileSync(kubeconfig, server.kubeconfig);
  return server;
}

interface Running {
  readonly process: PodProcess;
  readonly stdout: () => string;
  /** What it has said so far has this in it. */
  readonly said: (text: string) => Promise<void>;
  readonly ended: Promise<ProcessEnd>;
}

async function start(signal = new AbortController().signal): Promise<Running> {
  let stdout = '';
  let heard = Promise.withResolvers<void>();
  const { promise: ended, resolve } = Promise.withResolvers<ProcessEnd>();
  const program = {
    namespace: 'mesh-ebpf-system',
    pod: 'mesh-ebpf-node-1',
    container: 'node',
    command: ['mesh-ebpf', 'inspect'],
  } as const;
  const events = {
    stdout: (chunk: Buffer) => {
      stdout += chunk.toString();
      heard.resolve();
      heard = Promise.withResolvers();
    },
    ended: resolve,
  };
  const process = await startInPod(await fromKubeconfig({ kubeconfig }), program, events, signal);
  const said = async (text: string): Promise<void> => {
    while (!stdout.includes(text)) await heard.promise;
  };
  return { process, stdout: () => stdout, said, ended };
}

const success = { kind: 'Status', status: 'Success' };
const exitStatus = (code: number): object => ({
  kind: 'Status',
  status: 'Failure',
  reason: 'NonZeroExitCode',
  message: `command terminated with non-zero exit code ${code}`,
  details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
});

describe('a program in a pod', () => {
  it.each(['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const)(
    'is spoken with over its streams until it ends, with %s',
    async (protocol) => {
      const asked: URL[] = [];
      const run = ({ url, stdout, onStdin, end }: ServedProgram): void => {
        asked.push(url);
        onStdin((data) => {
          stdout(`heard ${data.toString()}`);
          if (data.toString() === 'bye\n') end(success);
        });
      };
      await serve({ protocol, run });
      const { process, said, stdout, ended } = await start();
      process.send('hello\n');
      await said('heard hello\n');
      process.send('bye\n');
      expect(await ended).toEqual({ type: 'exited', status: 0, stderr: '' });
      expect(stdout()).toBe('heard hello\nheard bye\n');
      expect(asked.map(({ pathname, search }) => pathname + search)).toEqual([
        '/api/v1/namespaces/mesh-ebpf-system/pods/mesh-ebpf-node-1/exec' +
          '?stdin=true&stdout=true&stderr=true&container=node&command=mesh-ebpf&command=inspect',
      ]);
    },
  );

  it('sees its input end when it is closed', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    await serve({ run: ({ socket }) => socket.once('close', resolve) });
    const { process } = await start();
    process.close();
    await promise;
  });

  it('reports its exit status and what it complained about', async () => {
    await serve({
      run: ({ stderr, end }) => {
        stderr('error: unknown command\n');
        stderr('x'.repeat(100_000));
        end(exitStatus(2));
      },
    });
    const end = await (await start()).ended;
    expect(end).toMatchObject({
      type: 'exited',
      status: 2,
      stderr: expect.stringMatching(/^error: unknown/),
    });
    expect(end.type === 'exited' && end.stderr.length).toBeLessThan(10_000);
  });

  it('reports why it could not be started', async () => {
    const message = 'exec: "mesh-ebpf": executable file not found in $PATH';
    await serve({ run: ({ end }) => end({ status: 'Failure', reason: 'InternalError', message }) });
    expect(await (await start()).ended).toMatchObject({
      type: 'failed',
      error: { code: 'UNAVAILABLE', message: expect.stringContaining(message) },
    });
  });

  it.each([
    ['is cut off', ({ stdout, socket }: ServedProgram) => (stdout('half'), socket.terminate())],
    ['sends a message beyond all bounds', ({ stdout }: ServedProgram) => stdout(Buffer.alloc(5_000_000))],
    ['ends without a status', ({ socket }: ServedProgram) => socket.close()],
    ['ends with what is no status', ({ socket }: ServedProgram) => socket.send(Buffer.from('\u0003what?'))],
  ])('is known to have failed when it %s', async (_what, run) => {
    await serve({ run });
    expect(await (await start()).ended).toMatchObject({
      type: 'failed',
      error: {
        code: 'UNAVAILABLE',
        message: expect.stringContaining('pod mesh-ebpf-system/mesh-ebpf-node-1'),
      },
    });
  });
});

describe('an API server that refuses', () => {
  it('is named with who lacks what, and the rule that is missing', async () => {
    const message =
      'pods "mesh-ebpf-node-1" is forbidden: User "ann" cannot get resource "pods/exec" in API group "" in the ' +
      'namespace "mesh-ebpf-system"';
    const server = await serve({ refuse: { status: 403, body: { reason: 'Forbidden', message } } });
    await expect(start()).rejects.toMatchObject({
      code: 'API_FORBIDDEN',
      message: 'ann may not get pods/exec in namespace mesh-ebpf-system',
      hint: expect.stringContaining(
        'a role in mesh-ebpf-system must grant apiGroups: [""], resources: ["pods/exec"], verbs: ["get", "create"]',
      ),
    });
    await eventually(() => server.connections() === 0);
  });

  it.each([
    [404, 'NotFound', 'pods "mesh-ebpf-node-1" not found', 'NOT_FOUND'],
    [500, 'InternalError', 'error dialing backend: no route to host', 'UNAVAILABLE'],
  ])('with HTTP %i says why: %s', async (status, reason, message, code) => {
    await serve({ refuse: { status, body: { reason, message } } });
    await expect(start()).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it('wants other credentials when it does not know these', async () => {
    const server = await serve({});
    writeFileSync(kubeconfig, server.kubeconfig.replace(token, 'an-old-token'));
    await expect(start()).rejects.toMatchObject({
      code: 'API_FORBIDDEN',
      hint: expect.stringContaining('credentials'),
    });
  });

  it('is told from one that is not there', async () => {
    const server = await serve({});
    await server.close();
    opened.pop();
    await expect(start()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/ECONNREFUSED/),
    });
  });

  it('is not waited for longer than one wants to', async () => {
    const server = await serve({ refuse: null });
    const interrupt = new AbortController();
    const starting = start(interrupt.signal);
    await eventually(() => server.connections() === 1);
    interrupt.abort();
    await expect(starting).rejects.toThrow();
    await eventually(() => server.connections() === 0);
  });
});

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const nodeArguments = ['--disable-warning=ExperimentalWarning', main];

/** `mesh-ebpf` as a person runs it. */
async function meshEbpf(
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const command = spawn(process.execPath, [...nodeArguments, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  command.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  command.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const [code] = (await once(command, 'close')) as [number];
  return { code, out, err };
}

describe('the whole program, from outside the cluster', () => {
  const pod = {
    metadata: { name: 'mesh-ebpf-node-1', namespace: 'mesh-ebpf-system' },
    spec: { nodeName: 'node-a' },
    status: { phase: 'Running', containerStatuses: [{ name: 'node', state: { running: {} } }] },
  };
  const objects = {
    '/api/v1/namespaces/mesh-ebpf-system/pods': { items: [pod] },
    '/apis/apps/v1/namespaces/mesh-ebpf-system/daemonsets/mesh-ebpf-node': {
      metadata: { name: 'mesh-ebpf-node' },
      status: { desiredNumberScheduled: 1 },
    },
  };
  const ends: Promise<unknown>[] = [];
  /** The program that was asked for, as a process of this machine. */
  const run = ({ socket, url, stdout, stderr, end, onStdin }: ServedProgram): void => {
    const [, ...args] = url.searchParams.getAll('command');
    const child = spawn(process.execPath, [...nodeArguments, ...args], { stdio: 'pipe' });
    child.stdout.on('data', stdout);
    child.stderr.on('data', (chunk: Buffer) => stderr(chunk.toString()));
    onStdin((data) => void child.stdin.write(data));
    socket.once('close', () => child.stdin.end());
    child.once('close', (code) => end(code === 0 ? success : exitStatus(code ?? 255)));
    ends.push(once(child, 'close'));
  };

  it('has a node check itself, and leaves nothing running there', async () => {
    await serve({ objects, run });
    const { out, err } = await meshEbpf(
      'doctor',
      '--kubeconfig',
      kubeconfig,
      '-o',
      'json',
      '--timeout',
      '60s',
    );
    expect(err).toBe('');
    const { items } = JSON.parse(out) as {
      readonly items: readonly { readonly node: string; readonly name: string }[];
    };
    expect(items).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ node: 'node-a', name: 'node-a: kernel' }),
        // No node program runs on this machine, and the one that was asked knows it.
        expect.objectContaining({ name: 'node-a: node program', result: 'unknown' }),
      ]),
    );
    expect(ends).toHaveLength(1);
    await Promise.all(ends);
  }, 120_000);
});

async function eventually(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
}
