/** New programs are tried out on this kernel; those that fail are not put in force, and those in force stay so. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownCgroup } from '../../src/apps/node/host-facts.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { Datapath, DatapathOptions } from '../../src/datapath/datapath.ts';
import { cgroupHooks } from '../../src/datapath/hooks.ts';
import { selfTest } from '../../src/datapath/self-test/self-test.ts';
import { Lab, native, objectPath, sh } from './support/lab.ts';

let lab: Lab;
let datapath: Datapath | undefined;
let allowsAll: string;
let admitsOutdated: string;
let doesNotLoad: string;
beforeAll(() => {
  lab = new Lab();
  const connect = 'connect.bpf.c';
  allowsAll = broken('allows-all', connect, '    if (verdict != REDIRECT)\n        return verdict;', '    if (verdict != REDIRECT || to.port != 0)\n        return ALLOW;');
  admitsOutdated = broken(
    'admits-outdated',
    'sk-lookup.bpf.c',
    'return verdict && verdict->generation == node->verdict_generation;',
    'return verdict && verdict->generation <= node->verdict_generation;',
  );
  const first = '    enum verdict verdict = decide(ctx, &to);';
  // The verifier finds the loop.
  doesNotLoad = broken('endless', connect, first, `    for (volatile int i = 0; i >= 0;)\n        i = 1;\n${first}`);
});
afterEach(() => {
  close();
  lab.removePins();
});
afterAll(() => lab.close());

const bpf = new URL('../../bpf', import.meta.url).pathname;

/** The programs with a line changed. */
function broken(name: string, file: string, from: string, to: string): string {
  const source = join(lab.scratch(), name, 'bpf');
  cpSync(bpf, source, { recursive: true });
  const path = join(source, file);
  const text = readFileSync(path, 'utf8');
  if (!text.includes(from)) throw new Error(`${file} has no "${from}"`);
  writeFileSync(path, text.replace(from, to));
  const out = join(source, '..', 'out');
  mkdirSync(out);
  sh(`make -s -C ${source} OUT=${out}`);
  return join(out, 'mesh.bpf.o');
}

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
  await expect(test(allowsAll)).rejects.toMatchObject({ code: 'BPF_SELF_TEST', message });
});

it('programs that go by outdated verdicts fail, in both families', async () => {
  const message: unknown = expect.stringMatching(/change \(IPv4\): application.*change \(IPv6\): application/);
  await expect(test(admitsOutdated)).rejects.toMatchObject({ code: 'BPF_SELF_TEST', message });
});

describe.each([
  ['fail their test', () => allowsAll, 'BPF_SELF_TEST'],
  ['do not load', () => doesNotLoad, 'BPF_LOAD'],
] as const)('programs that %s', (_what, object, code) => {
  it('change nothing where others are in force, and the agent goes on with those', async () => {
    expect((await open()).degraded).toBeUndefined();
    close();
    const before = [inForce(), native.openFdCount()];
    const { degraded } = await open({ objectPath: object() });
    expect(degraded).toMatchObject({ code });
    expect(inForce()).toEqual(before[0]);
    close();
    expect([inForce(), native.openFdCount()]).toEqual(before);
    expect((await open()).degraded).toBeUndefined();
  });

  it('end the agent where none are, or of another layout', async () => {
    await expect(open({ objectPath: object() })).rejects.toMatchObject({ code, hint: expect.any(String) });
    await open();
    close();
    const before = inForce();
    const sizes = { pods: 32, destinations: 128, flows: 128, egress: 64, verdicts: 64 };
    await expect(open({ objectPath: object(), sizes })).rejects.toMatchObject({ code });
    expect(inForce()).toEqual(before);
  });
});
