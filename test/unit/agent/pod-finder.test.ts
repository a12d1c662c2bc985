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

describe('finding pods in the cgroup tree', () => {
  it.each([
    ['the cgroupfs driver', `kubepods/burstable/pod${uid}`],
    ['the cgroupfs driver, guaranteed QoS', `kubepods/pod${uid}`],
    [
      'the systemd driver',
      `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${underscored}.slice`,
    ],
    ['the systemd driver, guaranteed QoS', `kubepods.slice/kubepods-pod${underscored}.slice`],
    ['a node below a root of its own', `kubelab-1/kubepods/besteffort/pod${uid}`],
  ])('knows a pod by the name %s gives it', async (_driver, path) => {
    cgroup(path, 42);
    expect(await findPodCgroups(root)).toEqual(new Map([[uid, join(root, path)]]));
  });

  it('finds the processes of all containers, of every runtime', async () => {
    const pod = `kubepods/pod${uid}`;
    cgroup(pod);
    cgroup(`${pod}/cri-containerd-aa.scope`, 7, 8);
    cgroup(`${pod}/crio-bb`, 9);
    expect(await processesOf(join(root, pod))).toEqual([7, 8, 9]);
  });

  it('takes nothing else for a pod', async () => {
    cgroup('system.slice/podman.service', 1);
    cgroup('user.slice/pod-of-whales', 2);
    cgroup('kubepods/pod1234', 3);
    expect(await findPodCgroups(root)).toEqual(new Map());
  });

  it('answers with nothing when the tree is not there', async () => {
    expect(await findPodCgroups(join(root, 'absent'))).toEqual(new Map());
    expect(await processesOf(join(root, 'absent'))).toEqual([]);
  });
});
