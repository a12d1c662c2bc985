/** The CNI plugin in a running mesh, called as a container runtime calls it; and capture that somebody broke. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect } from '@jest/globals';
import { netnsPath, pinRoot, podNetns } from '../../src/lab/layout.ts';
import { loadNative } from '../../src/native/load.ts';
import { sh } from '../bpf/support/lab.ts';
import { type Lab, labSuite } from './support/lab.ts';
import { namespace, pod, serverPod, service } from './support/manifest.ts';
import { until } from './support/wait.ts';

const plugin = new URL('../../build/cni/mesh-ebpf-cni', import.meta.url).pathname;
const native = loadNative();

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  pod('shop/batch', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  service('shop/cart', [7000, 7001]),
  namespace('legacy', 'none'),
  pod('legacy/old', { node: 'node-a' }),
);

interface Sandbox {
  readonly path: string;
  /** The lab's own unless told. */
  readonly netns?: string;
  readonly containerId?: string;
  readonly name?: string;
}

/** The plugin's exit code and what it says. */
async function call(lab: Lab, command: 'ADD' | 'DEL' | 'CHECK', sandbox: Sandbox): Promise<unknown> {
  const { namespace: where, name, uid, ip4, ip6 } = lab.pod(sandbox.path);
  const ips = [{ address: `${ip4}/32` }, { address: `${ip6}/128` }];
  const configuration = {
    cniVersion: '1.0.0',
    name: 'lab',
    type: 'mesh-ebpf-cni',
    socket: join(dirname(lab.layout.node('node-a').adminSocket), 'cni.sock'),
    waitSeconds: 60,
    prevResult: { cniVersion: '1.0.0', ips },
  };
  const child = spawn(plugin, {
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: sandbox.containerId ?? `c-${uid}`,
      CNI_IFNAME: 'eth0',
      CNI_NETNS: sandbox.netns ?? netnsPath(podNetns(uid)),
      CNI_ARGS: `K8S_POD_NAMESPACE=${where};K8S_POD_NAME=${sandbox.name ?? name};K8S_POD_UID=${sandbox.name ?? uid}`,
    },
  });
  let stdout = '';
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stdin.end(JSON.stringify(configuration));
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...(stdout === '' ? {} : { answer: JSON.parse(stdout) as unknown }) };
}

const admitted = { code: 0, answer: { cniVersion: '1.0.0', ips: expect.any(Array) } };
const refused = (why: string) => ({
  code: 1,
  answer: expect.objectContaining({ code: 11, msg: expect.stringContaining(why) }),
});

/** Which ports somebody listens on in a namespace. */
const listening = (netns: string): string => sh(`nsenter --net=${netns} ss -Hltn | awk '{print $4}'`);

/** A namespace as the cluster's CNI would make it for the pod: it has the pod's addresses, and nobody in it. */
function makeSandbox(lab: Lab, path: string): { readonly netns: string; remove(): void } {
  const { ip4, ip6 } = lab.pod(path);
  const name = `mebpf-cni-${process.pid}`;
  sh(`ip netns add ${name}
    ip -n ${name} link set lo up
    ip -n ${name} link add eth0 type bridge
    ip -n ${name} addr add ${ip4}/32 dev eth0
    ip -n ${name} addr add ${ip6}/128 dev eth0 nodad
    ip -n ${name} link set eth0 up`);
  return { netns: `/run/netns/${name}`, remove: () => void sh(`ip netns delete ${name}`) };
}

const verified = async (lab: Lab, count: number): Promise<void> =>
  await until(`${count} verified pods`, async () => {
    const status = await lab.status('node-a').catch(() => undefined);
    return status?.pods.verified === count && status.pods.enrolled === count;
  });

describe('a container runtime that asks for a sandbox', () => {
  scenario('gets it for a pod that is captured, as often as it asks', async (lab) => {
    expect(await call(lab, 'ADD', { path: 'shop/web' })).toEqual(admitted);
    expect(await call(lab, 'ADD', { path: 'shop/web' })).toEqual(admitted);
    expect(await call(lab, 'CHECK', { path: 'shop/web' })).toEqual({ code: 0 });
    expect(await call(lab, 'DEL', { path: 'shop/web' })).toEqual({ code: 0 });
    await verified(lab, 2);
  });

  scenario('gets it for a pod outside the mesh, which stays there', async (lab) => {
    expect(await call(lab, 'ADD', { path: 'legacy/old' })).toEqual(admitted);
    expect((await lab.status('node-a')).pods.expected).toBe(2);
  });

  scenario('gets it when the pod is captured in it, before the pod has a process there', async (lab) => {
    const sandbox = makeSandbox(lab, 'shop/batch');
    try {
      const asked = { path: 'shop/batch', netns: sandbox.netns, containerId: 'second' };
      expect(await call(lab, 'ADD', asked)).toEqual(admitted);
      expect(listening(sandbox.netns)).toContain(':15008');
      // The sandbox was given up: the pod is where its processes are.
      expect(await call(lab, 'DEL', asked)).toEqual({ code: 0 });
      await until('the pod in its own namespace', () =>
        listening(netnsPath(podNetns(lab.pod('shop/batch').uid))).includes(':15008'),
      );
      await verified(lab, 2);
      expect(await lab.greets('shop/batch', 'cart')).toBe(true);
    } finally {
      sandbox.remove();
    }
  });

  scenario('is refused with the namespace of another pod, and that changes nothing', async (lab) => {
    const netns = netnsPath(podNetns(lab.pod('shop/batch').uid));
    const outcome = await call(lab, 'ADD', { path: 'shop/web', netns, containerId: 'wrong' });
    expect(outcome).toEqual(refused('lacks the pod'));
    await verified(lab, 2);
    expect(await lab.greets('shop/web', 'cart')).toBe(true);
  });

  scenario('is refused for a pod that nobody knows', async (lab) => {
    expect(await call(lab, 'ADD', { path: 'shop/web', name: 'stranger' })).toEqual(
      refused('not known (yet)'),
    );
  });

  scenario('waits for an agent that was killed, and gets its sandbox from the next one', async (lab) => {
    const killed = await lab.signal('node-a', 'SIGKILL');
    expect(await call(lab, 'ADD', { path: 'shop/web' })).toEqual(admitted);
    await lab.replaced('node-a', killed);
    await verified(lab, 2);
  });
});

describe('capture that somebody broke behind the agent’s back', () => {
  scenario('is noticed, told of and mended', async (lab) => {
    await verified(lab, 2);
    const links = join(pinRoot, 'node-a', 'links');
    const { inode } = native.netnsId(netnsPath(podNetns(lab.pod('shop/web').uid)));
    for (const name of readdirSync(links)) {
      const link = native.openPinned(join(links, name));
      if (native.linkInfo(link).targetId === inode) native.linkDetach(link);
      native.closeFd(link);
    }
    await until('the agent to notice', () => lab.log('node-a').includes('capture of the pod does not hold'));
    await verified(lab, 2);
    expect(lab.log('node-a')).toContain('what arrives for it is not captured');
    expect(await lab.greets('shop/web', 'cart')).toBe(true);
  });
});
