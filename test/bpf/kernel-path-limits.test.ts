/** The kernel path where the kernel's memory of it ends: nobody gets in by that, and nobody is cut. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Port } from '../../src/base/ip.ts';
import { decode } from '../../src/datapath/abi/field.ts';
import { ended } from '../../src/datapath/abi/layout.ts';
import type { EndedConnection } from '../../src/datapath/kernel-path/ended-batch.ts';
import { mapSpecs } from '../../src/datapath/maps.ts';
import type { BpfObject, Fd, NativeBinding } from '../../src/native/binding.ts';
import { eventually } from '../netns/support/wait.ts';
import { allow, data, kernelPath, toZtunnel, startOver } from './support/kernel-path.ts';
import { native } from './support/lab.ts';
import { type Mesh, startMesh, stopMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';
import * as sockets from './support/socket-scripts.ts';

const verdicts = 64;
/** The usual ring holds thousands of connections, which take minutes on an emulated kernel. */
const ringBytes = 65_536;
const withSmallRing: NativeBinding = {
  ...native,
  openObject(path) {
    const object = native.openObject(path);
    const setMaxEntries: BpfObject['setMaxEntries'] = object.setMaxEntries.bind(object);
    return Object.assign(object, {
      setMaxEntries: (map: string, entries: number): void =>
        setMaxEntries(map, map === mapSpecs.ended.name ? ringBytes : entries),
    });
  },
};
const sizes = { pods: 4, destinations: 16, flows: 512, egress: 64, verdicts };
const options = { sizes, kernelPath, native: withSmallRing };

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh(options);
});
afterAll(() => stopMesh(mesh));
beforeEach(() => startOver(mesh));

const dial = (port: number): Promise<unknown> => mesh.lab.run(mesh.a, scripts.connect, [mesh.b.ip4, port]);

/** Of the verdicts that are there. */
const keptPorts = (): ReadonlySet<number> => {
  const { key } = mapSpecs.verdicts;
  return withMap(mapSpecs.verdicts.name, (fd) => {
    const { keys, count } = native.mapDump(fd);
    const at = (i: number): Uint8Array => keys.subarray(i * key.sizeBytes, (i + 1) * key.sizeBytes);
    return new Set(Array.from({ length: count }, (_, i) => decode(key, at(i)).port));
  });
};

function withMap<T>(name: string, use: (fd: Fd) => T): T {
  const fd = native.openPinned(mesh.lab.pin('maps', name));
  try {
    return use(fd);
  } finally {
    native.closeFd(fd);
  }
}

describe('when there are more verdicts than room for them', () => {
  // So small a map can lose nearly all at once on Linux before 6.16, which makes room for 128.
  it('older ones go, and those pairs are asked about once more', async () => {
    const { a, b, datapath } = mesh;
    const podId = datapath.enrolled().find(({ uid }) => uid === a.uid)?.podId ?? 0;
    const { generation } = datapath.kernelPath;
    const ports = Array.from({ length: 4 * verdicts }, (_, i) => 20_000 + i);
    for (const port of ports) {
      const local = { ip: b.ip4, port: port as Port };
      datapath.kernelPath.allow(podId, { ip: a.ip4, port: 1 as Port }, local, b.uid, generation);
    }
    const kept = keptPorts();
    expect(kept).toContain(ports.at(-1));
    expect(kept.size).toBeLessThanOrEqual(verdicts);
    const gone = ports.filter((port) => !kept.has(port)).slice(0, 4);
    for (const port of gone) expect(await dial(port)).toEqual(toZtunnel(b.ip4, port));
    await allow(mesh, a, b, b.ip4, 8080);
    expect(await dial(8080)).toEqual(data('application b'));
  });
});

/** More than fit into the ring. */
const tooMany = 300 + Math.ceil(ringBytes / ended.sizeBytes);

describe('when more connections end than the kernel can remember', () => {
  it('all are carried, and those that nobody is told of are counted', async () => {
    const { lab, a, b, datapath } = mesh;
    await allow(mesh, a, b, b.ip4, 8080);
    const { admittedKernel: admitted, endedUntold: untold } = datapath.counters();
    const answers = await lab.run(a, sockets.listeners, [b.ip4, 8080, tooMany]);
    expect(answers).toEqual({ 'application b': tooMany });
    const after = datapath.counters();
    expect(after.admittedKernel - admitted).toBe(BigInt(tooMany));
    expect(after.endedUntold).toBeGreaterThan(untold);
    // Nobody has listened so far: what there was room for is told now.
    const told: EndedConnection[] = [];
    const stop = datapath.followEnded((connections) => told.push(...connections));
    const expected = tooMany - Number(after.endedUntold - untold);
    await eventually('the others to be told', () => told.length >= expected || undefined);
    stop();
    expect(datapath.kernelPath.connections()).toEqual([]);
  });
});
