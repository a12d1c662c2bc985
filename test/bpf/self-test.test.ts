/** New programs are tried out on this kernel; those that fail are not put in force, and those in force stay so. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ownCgroup } from '../../src/apps/node/host-facts.ts';
import { MeshError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { Datapath, DatapathOptions } from '../../src/datapath/datapath.ts';
import { cgroupHooks } from '../../src/datapath/hooks.ts';
import { Pins } from '../../src/datapath/pins.ts';
import { selfTest } from '../../src/datapath/self-test/self-test.ts';
import { findLeftovers } from '../../src/datapath/uninstall.ts';
import type { NativeBinding } from '../../src/native/binding.ts';
import type { Errand } from './support/children/self-test.ts';
import { Lab, native, objectPath } from './support/lab.ts';
import { type OtherObject, otherObject } from './support/other-objects.ts';

let lab: Lab;
let datapath: Datapath | undefined;
let scratch: string;
let otherInstructions: string;
beforeAll(() => {
  lab = new Lab();
  scratch = lab.scratch();
  otherInstructions = otherObject('variant', scratch);
});
afterEach(() => {
  close();
  lab.removePins();
});
afterAll(() => lab.close());

const compiled = (name: OtherObject): string => otherObject(name, scratch);
const test = (object: string): Promise<void> =>
  selfTest({ native, objectPath: object, cgroup: lab.ztunnelCgroup, log: silentLogger });

async function open(options: Partial<DatapathOptions> = {}): Promise<Datapath> {
  datapath = await lab.open({ selfTestCgroup: lab.ztunnelCgroup, ...options });
  datapath.activate();
  return datapath;
}

function close(): void {
  datapath?.close();
  datapath = undefined;
}

const inForce = (): readonly number[] =>
  cgroupHooks.map(({ program }) => {
    const fd = native.openPinned(lab.pin('links', program));
    const { programId } = native.linkInfo(fd);
    native.closeFd(fd);
    return programId;
  });

it('good programs pass, and nothing is left of the test', async () => {
  expect(ownCgroup()).toBe(lab.ztunnelCgroup);
  await test(objectPath);
  const before = native.openFdCount();
  const startedAt = performance.now();
  await test(objectPath);
  process.stdout.write(`  the test took ${Math.round(performance.now() - startedAt)} ms\n`);
  expect(native.openFdCount()).toBe(before);
});

it('programs that allow what they should capture fail, and it is named', async () => {
  const message: unknown = expect.stringMatching(/a pod dials into the mesh \(IPv4\): \w+ instead of captured/);
  await expect(test(compiled('allowsAll'))).rejects.toMatchObject({ code: 'BPF_SELF_TEST', message });
});

it('programs that go by outdated verdicts fail, in both families', async () => {
  const message: unknown = expect.stringMatching(/change \(IPv4\): application.*change \(IPv6\): application/);
  await expect(test(compiled('admitsOutdated'))).rejects.toMatchObject({ code: 'BPF_SELF_TEST', message });
});

it('programs that send a Service’s connection elsewhere than to its endpoint fail', async () => {
  const message: unknown = expect.stringMatching(/a pod dials a Service .*\(IPv4\): \w+ instead of application/);
  await expect(test(compiled('missesServices'))).rejects.toMatchObject({ code: 'BPF_SELF_TEST', message });
});

it('programs that do not go on with a client’s session fail', async () => {
  const message: unknown = expect.stringMatching(/has a session, and may \(IPv4\): captured instead of application/);
  await expect(test(compiled('missesSessions'))).rejects.toMatchObject({ code: 'BPF_SELF_TEST', message });
});

describe.each([
  ['fail their test', 'allowsAll', 'BPF_SELF_TEST'],
  ['do not load', 'doesNotLoad', 'BPF_LOAD'],
] as const)('programs that %s', (_what, object, code) => {
  it('change nothing where others are in force, and the agent goes on with those', async () => {
    expect((await open()).degraded).toBeUndefined();
    close();
    const before = [inForce(), native.openFdCount()];
    const { degraded } = await open({ objectPath: compiled(object) });
    expect(degraded).toMatchObject({ code });
    expect(inForce()).toEqual(before[0]);
    close();
    expect([inForce(), native.openFdCount()]).toEqual(before);
    expect((await open()).degraded).toBeUndefined();
  });

  it('end the agent where none are, or of another layout', async () => {
    await expect(open({ objectPath: compiled(object) })).rejects.toMatchObject({ code, hint: expect.any(String) });
    await open();
    close();
    const before = inForce();
    const sizes = { pods: 32, destinations: 128, flows: 128, egress: 64, verdicts: 64 };
    await expect(open({ objectPath: compiled(object), sizes })).rejects.toMatchObject({ code });
    expect(inForce()).toEqual(before);
  });
});

/** Where a process may make no more namespaces, say. */
const withoutTrial: NativeBinding = {
  ...native,
  createLoopbackNetns: () => Promise.reject(new MeshError('SYSCALL', 'unshare(CLONE_NEWNET): ENOSPC')),
};
const untriable = { native: withoutTrial };

describe('where programs cannot be tried out', () => {
  it('it is told apart from a failure, and nothing is left', async () => {
    const before = native.openFdCount();
    const deps = { native: withoutTrial, objectPath, cgroup: lab.ztunnelCgroup, log: silentLogger };
    await expect(selfTest(deps)).rejects.toMatchObject({ code: 'BPF_UNTRIED', hint: expect.any(String) });
    expect(native.openFdCount()).toBe(before);
  });

  it('a process that may do all the rest, but make no namespace, is such a place', () => {
    expect(child({}, ['setpriv', '--bounding-set=-sys_admin']).stdout).toBe('BPF_UNTRIED\n');
    expect(child({}).stdout).toBe('passed\n');
  });

  it('a first installation goes on and says so, until a later start can try them', async () => {
    const untried = { code: 'BPF_UNTRIED' };
    expect(await open(untriable)).toMatchObject({ degraded: undefined, untried });
    for (const options of [untriable, { ...untriable, objectPath: otherInstructions }]) {
      close();
      expect(await open(options)).toMatchObject({ degraded: undefined, untried });
    }
    close();
    expect(await open()).toMatchObject({ degraded: undefined, untried: undefined });
    close();
    expect(await open(untriable)).toMatchObject({ degraded: undefined, untried: undefined });
  });

  it('those that were tried stay in force', async () => {
    await open();
    close();
    const before = inForce();
    const other = { ...untriable, objectPath: otherInstructions };
    expect(await open(other)).toMatchObject({ degraded: { code: 'BPF_UNTRIED' }, untried: undefined });
    expect(inForce()).toEqual(before);
  });
});

/** Runs a process of its own, in this one's cgroup. */
function child(errand: Partial<Errand>, before: readonly string[] = []): { stdout: string; signal: string | null } {
  const script = new URL('support/children/self-test.ts', import.meta.url).pathname;
  const given: Errand = { objectPath, cgroup: lab.ztunnelCgroup, ...errand };
  const [command, ...args] = [...before, process.execPath, script, JSON.stringify(given)];
  const { stdout, stderr, signal } = spawnSync(command, args, { encoding: 'utf8' });
  if (stdout === '' && signal === null) throw new Error(stderr);
  return { stdout, signal };
}

const visible = (): unknown => [
  readdirSync('/run/netns').filter((name) => name.includes(`-${process.pid}-`)),
  readdirSync(lab.cgroupRoot, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory()).length,
];
const attached = (): Promise<unknown> => {
  const cgroups = [lab.cgroupRoot, lab.ztunnelCgroup].map((path) => statSync(path, { bigint: true }).ino);
  return findLeftovers(native, [], { objects: new Set(), cgroups: new Set(cgroups) });
};

describe.each([
  ['before anything is attached', 0],
  ['among the connections without the programs', 1],
  ['at the first ones with them', 3],
  ['in the middle of them', 12],
])('a node program killed with -9 in its trial, %s,', (_when, killAt) => {
  const killInTrial = (objectOfChild = objectPath): unknown => {
    const { pinRoot, cgroupRoot, ztunnelCgroup, nodeNetns } = lab;
    const places = { pinRoot, cgroupRoot, ztunnelCgroup, nodeNetns };
    return child({ objectPath: objectOfChild, datapath: places, killAt }).signal;
  };

  it('leaves nothing, and the next one starts as if it had not been', async () => {
    const before = visible();
    expect(killInTrial()).toBe('SIGKILL');
    expect(await attached()).toEqual([]);
    expect([visible(), new Pins(native, lab.pinRoot).paths().filter((path) => statSync(path).isFile())]).toEqual([
      before,
      [],
    ]);
    expect(await open()).toMatchObject({ degraded: undefined, untried: undefined });
    expect(readdirSync(join(lab.pinRoot, 'new'))).toEqual([]);
  });

  it('leaves in force what was', async () => {
    await open();
    close();
    const before = inForce();
    expect(killInTrial(otherInstructions)).toBe('SIGKILL');
    expect(inForce()).toEqual(before);
    expect(await open()).toMatchObject({ degraded: undefined, untried: undefined });
    expect(inForce()).toEqual(before);
  });
});
