// The CNI plugin as a container runtime runs it: its environment, a configuration on stdin, and the agent's real socket.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import * as fc from 'fast-check';
import type { Sandbox } from '../../src/agent/cni/admission.ts';
import { startCniServer } from '../../src/agent/cni/server.ts';
import { MeshError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { Fd } from '../../src/native/binding.ts';
import { native } from './support/addon.ts';
import { makeNetns } from './support/kernel-places.ts';

jest.setTimeout(60_000);

const plugin =
  process.env['MESH_EBPF_TEST_CNI'] ?? new URL('../../build/cni/mesh-ebpf-cni', import.meta.url).pathname;

let scratch = '';
let socketPath = '';
const closers: (() => unknown)[] = [];
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'mesh-ebpf-cni-'));
  socketPath = join(scratch, 'run', 'cni.sock');
});
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
  rmSync(scratch, { recursive: true, force: true });
});

const previousResult = {
  cniVersion: '1.0.0',
  interfaces: [{ name: 'eth0', mac: '0a:58:0a:f4:01:05', sandbox: '/var/run/netns/cni-1' }],
  ips: [{ address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 0 }],
  routes: [{ dst: '0.0.0.0/0' }],
  dns: { nameservers: ['10.96.0.10'], search: ['ünïcode.local', 'tab\there'] },
  'x-unknown': { nested: [1, -2, 3.5, 1e100, 9007199254740993n.toString(), null, true, ''] },
};

const configuration = (more: object = {}) => ({
  cniVersion: '1.0.0',
  name: 'cbr0',
  type: 'mesh-ebpf-cni',
  socket: socketPath,
  waitSeconds: 20,
  excludeNamespaces: ['kube-system', 'mesh-system'],
  prevResult: previousResult,
  ...more,
});

const podArgs = (namespace = 'shop'): string =>
  `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u-1`;

interface Call {
  readonly command?: string;
  readonly stdin?: string | Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
}

interface Outcome {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
}

function start({ command = 'ADD', environment = {} }: Call): ChildProcess {
  const usual = {
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: '/proc/self/ns/net',
    CNI_IFNAME: 'eth0',
    CNI_ARGS: podArgs(),
    CNI_PATH: '/opt/cni/bin',
  };
  const { LD_PRELOAD = '', ASAN_OPTIONS = '', LSAN_OPTIONS = '', UBSAN_OPTIONS = '' } = process.env;
  const sanitizers = LD_PRELOAD === '' ? {} : { LD_PRELOAD, ASAN_OPTIONS, LSAN_OPTIONS, UBSAN_OPTIONS };
  return spawn(plugin, [], { env: { ...sanitizers, ...usual, ...environment, CNI_COMMAND: command } });
}

async function run(call: Call): Promise<Outcome> {
  const child = start(call);
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stdin?.on('error', () => {});
  child.stdin?.end(call.stdin ?? JSON.stringify(configuration()));
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { status, signal, stdout };
}

const errorOf = ({ status, stdout }: Outcome): unknown => ({ status, ...(JSON.parse(stdout) as object) });

interface Asked {
  readonly add: Sandbox[];
  /** Inodes. */
  readonly netns: bigint[];
  readonly removed: string[];
  readonly kept: string[];
}

/** The agent's real server; `add` says what becomes of each pod. */
async function startAgent(add: () => Promise<unknown> = () => Promise.resolve()): Promise<Asked> {
  const asked: Asked = { add: [], netns: [], removed: [], kept: [] };
  const server = await startCniServer(
    {
      log: silentLogger,
      peerCredentials: (fd) => native.peerCredentials(fd as Fd),
      admission: {
        add: async (sandbox) => {
          asked.add.push(sandbox);
          asked.netns.push(native.netnsId(sandbox.netns).inode);
          await add();
          return 'enrolled';
        },
        check: async () => {
          await add();
          return 'enrolled';
        },
        remove: (containerId) => void asked.removed.push(containerId),
        retain: (containerIds) => void asked.kept.push(...containerIds),
      },
    },
    socketPath,
  );
  closers.push(() => server.close());
  return asked;
}

/** Something else on the agent's socket. */
async function startImpostor(serve: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    closers.push(() => socket.destroy());
    serve(socket);
  });
  socketPath = join(scratch, 'cni.sock');
  server.listen(socketPath);
  await once(server, 'listening');
  closers.push(() => server.close());
  return server;
}

describe('ADD', () => {
  it('passes the result of the plugins before it through, once the agent has enrolled the pod', async () => {
    const netns = makeNetns();
    closers.push(() => netns.remove());
    const asked = await startAgent();
    const { status, stdout } = await run({ environment: { CNI_NETNS: netns.path } });
    expect({ status, result: JSON.parse(stdout) as unknown }).toEqual({ status: 0, result: previousResult });
    expect(asked.add).toEqual([
      {
        pod: { namespace: 'shop', name: 'web-0', uid: 'u-1' },
        containerId: 'c1',
        addresses: ['10.244.1.5'],
        netns: expect.stringMatching(/^\/proc\/\d+\/fd\/\d+$/),
      },
    ]);
    expect(asked.netns).toEqual([native.netnsId(netns.path).inode]);
  });

  it.each(['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'])('speaks CNI %s', async (cniVersion) => {
    await startAgent();
    const stdin = JSON.stringify(configuration({ cniVersion, prevResult: { ...previousResult, cniVersion } }));
    expect((await run({ stdin })).status).toBe(0);
  });

  it('hands the agent’s refusal to the runtime, with why and what to do', async () => {
    await startAgent(() => Promise.reject(new MeshError('NETNS', 'lacks the address', { hint: 'wait a little' })));
    expect(errorOf(await run({}))).toEqual({
      status: 1,
      cniVersion: '1.0.0',
      code: 11,
      msg: 'mesh-ebpf: lacks the address (NETNS)',
      details: 'wait a little',
    });
  });

  it('waits for an agent that comes late', async () => {
    const child = run({});
    await startAgent();
    expect((await child).status).toBe(0);
  });

  it('asks again when the agent restarts while it is asked', async () => {
    let asked = 0;
    const first = await startImpostor((socket) => {
      asked += 1;
      socket.destroy();
      first.close();
      // The next agent, in the place of the one that died.
      void startAgent();
    });
    expect((await run({})).status).toBe(0);
    expect(asked).toBe(1);
  });

  it('without an agent refuses, for the runtime to try again, when the time is up', async () => {
    const outcome = await run({ stdin: JSON.stringify(configuration({ waitSeconds: 0.3 })) });
    expect(errorOf(outcome)).toMatchObject({ status: 1, code: 11, msg: 'the agent is not running' });
  });

  it('lets pods of excluded namespaces start without an agent, and without waiting', async () => {
    const outcome = await run({ environment: { CNI_ARGS: podArgs('kube-system') } });
    expect({ status: outcome.status, result: JSON.parse(outcome.stdout) as unknown }).toEqual({
      status: 0,
      result: previousResult,
    });
  });

  it('does not ask about excluded namespaces even when an agent is there', async () => {
    const asked = await startAgent();
    await run({ environment: { CNI_ARGS: podArgs('mesh-system') } });
    await run({ command: 'DEL', environment: { CNI_ARGS: podArgs('mesh-system') } });
    expect(asked).toMatchObject({ add: [], removed: [] });
  });

  it('does not take a namespace for excluded because its name begins like one', async () => {
    const asked = await startAgent();
    await run({ environment: { CNI_ARGS: podArgs('kube-system-2') } });
    expect(asked.add).toHaveLength(1);
  });

  it('lets containers be that are no Kubernetes pods', async () => {
    expect((await run({ environment: { CNI_ARGS: '' } })).status).toBe(0);
  });

  it.each([
    ['an agent that answers nonsense', (socket: Socket) => socket.end('{"ok":')],
    ['an agent that answers something else', (socket: Socket) => socket.end('{"ok":1}')],
    ['an agent that does not end', (socket: Socket) => socket.write(Buffer.alloc(200_000, ' '))],
    ['an agent that hangs', () => {}],
    ['an agent that says nothing', (socket: Socket) => socket.end()],
  ])('refuses because of %s, for the runtime to try again', async (_case, serve) => {
    await startImpostor(serve);
    expect(errorOf(await run({ stdin: JSON.stringify(configuration({ waitSeconds: 0.5 })) }))).toMatchObject({
      status: 1,
      code: 11,
    });
  });

  it('does not talk to whoever is not root', async () => {
    chmodSync(scratch, 0o777);
    process.seteuid?.(65_534);
    try {
      await startImpostor((socket) => socket.end('{"ok":true}'));
    } finally {
      process.seteuid?.(0);
    }
    expect(errorOf(await run({}))).toMatchObject({
      status: 1,
      code: 11,
      msg: 'whoever listens on the agent\'s socket is not root',
    });
  });

  it.each([
    ['nothing on stdin', { stdin: '' }, 6],
    ['no JSON on stdin', { stdin: 'plugins: []' }, 6],
    ['no object on stdin', { stdin: '[]' }, 6],
    ['more on stdin than anybody sends', { stdin: Buffer.alloc(2 << 20, ' ') }, 5],
    ['JSON of endless depth', { stdin: '['.repeat(100_000) }, 6],
    ['a key twice', { stdin: '{"cniVersion":"1.0.0","cniVersion":"0.3.1"}' }, 6],
  ])('refuses %s', async (_case, call, code) => {
    expect(errorOf(await run(call))).toMatchObject({ status: 1, code });
  });

  it.each([
    ['another CNI version', { cniVersion: '2.0.0' }, {}, 1],
    ['a version that is none', { cniVersion: 1 }, {}, 7],
    ['no result of a plugin before it', { prevResult: undefined }, {}, 7],
    ['a time to wait that is none', { waitSeconds: 'long' }, {}, 7],
    ['a time to wait that no runtime has', { waitSeconds: 3600 }, {}, 7],
    ['a socket that is none', { socket: 7 }, {}, 7],
    ['a socket path that is too long', { socket: `/${'x'.repeat(200)}` }, {}, 11],
    ['no network namespace', {}, { CNI_NETNS: '' }, 4],
    ['a network namespace that is not there', {}, { CNI_NETNS: '/run/netns/absent' }, 4],
    ['no container', {}, { CNI_CONTAINERID: '' }, 4],
    ['half a pod', {}, { CNI_ARGS: 'K8S_POD_NAME=web-0' }, 4],
  ])('refuses %s', async (_case, config, environment, code) => {
    const outcome = await run({ stdin: JSON.stringify(configuration(config)), environment });
    expect(errorOf(outcome)).toMatchObject({ status: 1, code });
  });

  it('refuses a result without an address for the pod', async () => {
    await startAgent();
    const stdin = JSON.stringify(configuration({ prevResult: { ips: [] } }));
    expect(errorOf(await run({ stdin }))).toMatchObject({ code: 7 });
  });

  it('ends in order whatever is on stdin', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 4096 }), fc.json().map((text) => Buffer.from(text))), async (stdin) => {
        const { status, signal, stdout } = await run({ stdin });
        expect({ status, signal }).toEqual({ status: 1, signal: null });
        expect(JSON.parse(stdout)).toMatchObject({ code: expect.any(Number), msg: expect.any(String) });
      }),
      { numRuns: 100 },
    );
  });
});

describe('DEL', () => {
  it('tells the agent which sandbox is gone', async () => {
    const asked = await startAgent();
    expect(await run({ command: 'DEL' })).toEqual({ status: 0, signal: null, stdout: '' });
    expect(asked.removed).toEqual(['c1']);
  });

  it.each([
    ['without an agent', {}],
    ['without a configuration', { stdin: '' }],
    ['with a broken configuration', { stdin: '{{{' }],
    ['with too much of one', { stdin: Buffer.alloc(2 << 20, ' ') }],
    ['without a namespace, which may be gone', { environment: { CNI_NETNS: '' } }],
    ['without anything', { environment: { CNI_NETNS: '', CNI_ARGS: '', CNI_CONTAINERID: '', CNI_IFNAME: '' } }],
  ])('never fails: %s', async (_case, call) => {
    expect(await run({ command: 'DEL', ...call })).toEqual({ status: 0, signal: null, stdout: '' });
  });

  it('never fails: with an agent that answers nonsense', async () => {
    await startImpostor((socket) => socket.end('?'));
    expect((await run({ command: 'DEL' })).status).toBe(0);
  });
});

describe('the other commands', () => {
  it('VERSION says what is supported', async () => {
    const { status, stdout } = await run({ command: 'VERSION', stdin: '{"cniVersion":"1.0.0"}' });
    expect({ status, ...(JSON.parse(stdout) as object) }).toEqual({
      status: 0,
      cniVersion: '1.0.0',
      supportedVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    });
  });

  it('STATUS is well without an agent: pods it needs itself must be able to start', async () => {
    expect(await run({ command: 'STATUS' })).toEqual({ status: 0, signal: null, stdout: '' });
  });

  it('CHECK asks the agent whether the pod is captured', async () => {
    await startAgent();
    expect(await run({ command: 'CHECK' })).toEqual({ status: 0, signal: null, stdout: '' });
  });

  it('CHECK fails for a pod that should be captured and is not', async () => {
    await startAgent(() => Promise.reject(new MeshError('NETNS', 'not in the mesh')));
    expect(errorOf(await run({ command: 'CHECK' }))).toMatchObject({ status: 1, code: 11 });
  });

  it('GC tells the agent which sandboxes exist', async () => {
    const asked = await startAgent();
    const attachments = [{ containerID: 'c1', ifname: 'eth0' }, { containerID: 'c2', ifname: 'eth0' }];
    const stdin = JSON.stringify(configuration({ 'cni.dev/valid-attachments': attachments }));
    expect((await run({ command: 'GC', stdin })).status).toBe(0);
    expect(asked.kept).toEqual(['c1', 'c2']);
  });

  it('an unknown one is an error', async () => {
    expect(errorOf(await run({ command: 'EXPLODE' }))).toMatchObject({ status: 1, code: 4 });
  });
});

describe('the program', () => {
  it('needs no library of its host', () => {
    expect(existsSync(plugin)).toBe(true);
    if (process.env['MESH_EBPF_TEST_CNI'] !== undefined) return;
    expect(spawnSync('readelf', ['-ld', plugin], { encoding: 'utf8' }).stdout).not.toMatch(/INTERP|NEEDED/);
  });
});
