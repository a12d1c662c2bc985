/** The agent's proof that a pod is captured: it must fail whenever something dialled or arriving is not. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CaptureProbe } from '../../src/agent/capture-probe.ts';
import { systemClock } from '../../src/base/clock.ts';
import { isProbeAddress } from '../../src/base/probe-address.ts';
import type { Datapath } from '../../src/datapath/datapath.ts';
import { parseIp, parsePort } from '../../src/base/ip.ts';
import { Lab, type LabPod, native } from './support/lab.ts';
import { wholeMesh } from './support/mesh.ts';

const probe = new CaptureProbe({ native, clock: systemClock });
let lab: Lab;
let datapath: Datapath;
let pod: LabPod;

const prove = (): Promise<void> =>
  probe.prove({ uid: pod.uid, netns: pod.netns, addresses: [pod.ip4, pod.ip6] });

beforeAll(async () => {
  lab = new Lab();
  pod = lab.addPod('a');
  datapath = await lab.open({ sizes: { pods: 16, destinations: 64, flows: 1024, egress: 64, verdicts: 64 } });
  await lab.listen(pod.netns, 15001, (socket) => {
    const { remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 } = socket;
    const client = { ip: parseIp(remoteAddress), port: parsePort(remotePort) };
    const local = { ip: parseIp(localAddress), port: parsePort(localPort) };
    const original = datapath.originalDestination(client, local)?.destination;
    if (original !== undefined && isProbeAddress(original.ip)) probe.arrived(pod.uid, original.port);
    socket.destroy();
  });
  lab.plaintextListener(pod, await lab.listen(pod.netns, 15006, (socket) => socket.destroy()));
  await lab.enrol(datapath, pod);
  datapath.apply(wholeMesh({ a: pod, b: pod }));
  datapath.activate();
});
afterAll(async () => {
  datapath.close();
  await lab.close();
});

/** Detaches every pinned link whose target this is; at least one. */
function detachFrom(target: bigint): void {
  const links = join(lab.pinRoot, 'links');
  const detached = readdirSync(links).filter((name) => {
    const link = native.openPinned(join(links, name));
    const isThere = native.linkInfo(link).targetId === target;
    if (isThere) native.linkDetach(link);
    native.closeFd(link);
    return isThere;
  });
  expect(detached).not.toEqual([]);
}

describe('proving that a pod is captured', () => {
  it('succeeds for a pod that is, in both address families', async () => {
    await expect(prove()).resolves.toBeUndefined();
  });

  it('fails for a pod whose entry in the kernel is gone, and sends nothing', async () => {
    datapath.unenrol(pod.uid);
    await expect(prove()).rejects.toMatchObject({
      code: 'NETNS',
      message: expect.stringContaining('what it dials is not captured (EPERM)'),
    });
    await lab.enrol(datapath, pod);
    await expect(prove()).resolves.toBeUndefined();
  });

  it('fails when somebody detached the program that sees what arrives', async () => {
    detachFrom(native.netnsId(pod.netns).inode);
    await expect(prove()).rejects.toMatchObject({
      message: expect.stringContaining('what arrives for it is not captured (connected)'),
    });
  });
});
