import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { findPodCgroups, processesOf } from '../../../src/agent/pod-finder.ts';
import type { WorkloadUid } from '../../../src/model/mesh.ts';

const uid = '8f2b6c1e-0d7a-4a55-9d2f-3b1c5e7a9f00' as WorkloadUid;
const underscored = uid.replaceAll('-', '_');

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mesh-ebpf-cgroup-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function cgroup(path: string, ...pids: number[]): void {
  mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, path, 'cgroup.procs'), pids.map((pid) => `${pid}\n`).join(''));
}

const podIn = (path: string): Map<WorkloadUid, string[]> => new Map([[uid, [join(root, path)]]]);

describe('finding pods in the cgroup trees', () => {
  it.each([
    ['the cgroupfs driver', `kubepods/burstable/pod${uid}`],
    ['the cgroupfs driver, guaranteed QoS', `kubepods/pod${uid}`],
    [
      'the systemd driver',
      `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${underscored}.slice`,
    ],
    ['the systemd driver, guaranteed QoS', `kubepods.slice/kubepods-pod${underscored}.slice`],
    ['a node below a root of its own', `node-1/kubepods/besteffort/pod${uid}`],
    [
      'a node that is a container itself',
      `system.slice/docker-ab.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/` +
        `kubelet-kubepods-besteffort-pod${underscored}.slice`,
    ],
  ])('knows a pod by the name %s gives it', async (_driver, path) => {
    cgroup(path, 42);
    expect(await findPodCgroups([root])).toEqual(podIn(path));
  });

  it('knows a static pod by the hash that is its UID on the node', async () => {
    const hash = '8f2b6c1e0d7a4a559d2f3b1c5e7a9f00';
    cgroup(`kubepods/burstable/pod${hash}`, 42);
    expect([...(await findPodCgroups([root])).keys()]).toEqual([hash]);
  });

  it.each([
    ['containerd, cgroupfs driver', ['3f1c0ffee'], ['9a7b00c0de']],
    ['containerd, systemd driver', ['cri-containerd-3f1c.scope'], ['cri-containerd-9a7b.scope']],
    ['CRI-O, with its monitors', ['crio-3f1c.scope', 'crio-conmon-3f1c.scope'], ['crio-9a7b.scope']],
    ['CRI-O, cgroupfs driver', ['crio-3f1c'], ['crio-9a7b']],
    [
      'a container with cgroups of its own',
      ['cri-containerd-3f1c.scope/init.scope'],
      ['9a7b/system.slice/x.service'],
    ],
  ])('finds the processes of all containers of %s', async (_runtime, sandbox, containers) => {
    const pod = `kubepods/pod${uid}`;
    cgroup(pod);
    sandbox.forEach((name, i) => cgroup(`${pod}/${name}`, 7 + i));
    containers.forEach((name) => cgroup(`${pod}/${name}`, 20, 21));
    const pids = await processesOf(join(root, pod));
    expect(pids.toSorted((a, b) => a - b)).toEqual([...sandbox.map((_, i) => 7 + i), 20, 21]);
  });

  it('finds a pod that has nothing but its pause process', async () => {
    cgroup(`kubepods/pod${uid}/cri-containerd-3f1c.scope`, 7);
    expect(await processesOf(join(root, `kubepods/pod${uid}`))).toEqual([7]);
  });

  it('looks into the trees of cgroup v1 too, in the order in which they are given', async () => {
    cgroup(`unified/kubepods/pod${uid}`);
    cgroup(`pids/kubepods/pod${uid}/3f1c`, 7);
    const roots = ['unified', 'absent', 'pids'].map((name) => join(root, name));
    expect(await findPodCgroups(roots)).toEqual(
      new Map([[uid, [join(root, `unified/kubepods/pod${uid}`), join(root, `pids/kubepods/pod${uid}`)]]]),
    );
  });

  it('takes nothing else for a pod', async () => {
    cgroup('system.slice/podman.service', 1);
    cgroup('user.slice/pod-of-whales', 2);
    cgroup('kubepods/pod1234', 3);
    expect(await findPodCgroups([root])).toEqual(new Map());
  });

  it('answers with nothing when the tree is not there', async () => {
    expect(await findPodCgroups([join(root, 'absent')])).toEqual(new Map());
    expect(await processesOf(join(root, 'absent'))).toEqual([]);
  });
});
