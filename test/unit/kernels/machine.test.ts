import { describe, expect, it } from '@jest/globals';
import { readdirSync } from 'node:fs';
import { kernels } from '../../kernels/kernels.ts';
import { qemuArguments } from '../../kernels/machine/qemu.ts';
import { splitOverMachines } from '../../kernels/machines.ts';
import { parseOptions } from '../../kernels/options.ts';
import { stepsFor, type TestFile, testFiles } from '../../kernels/steps.ts';

const spec = {
  vmlinux: '/k/vmlinux',
  initrd: '/r/initrd',
  results: '/r',
  consoleLog: '/r/console.log',
  cpus: 2,
  environment: { MESH_NONCE: 'c0ffee', MESH_ROOT: '/src/mesh' },
};

describe('the machine', () => {
  it('reads all of the host and writes to one directory', () => {
    const shares = qemuArguments(spec).filter((word) => word.startsWith('local,'));
    expect(shares.map((share) => share.includes('readonly=on'))).toEqual([true, false]);
    expect(shares[1]).toContain('path=/r,');
  });

  it('is emulated, and ends when its kernel is in trouble', () => {
    const line = qemuArguments(spec).join(' ');
    expect(line).toContain('-accel tcg');
    expect(line).toContain('-no-reboot');
    expect(line).toMatch(/panic=-1 oops=panic/);
    expect(line).toMatch(/MESH_NONCE=c0ffee MESH_ROOT=\/src\/mesh$/);
  });

  it('takes no path that a kernel would read as two words', () => {
    expect(() => qemuArguments({ ...spec, environment: { MESH_ROOT: '/my files' } })).toThrow('/my files');
  });
});

const stepsOf = (files: readonly TestFile[]): ReturnType<typeof stepsFor> =>
  stepsFor(files, { root: '/src', results: '/r', bundles: '/b', objects: '/o' });

describe('the steps', () => {
  it('have every test file of the bpf rung', () => {
    const files = readdirSync(new URL('../../bpf', import.meta.url)).filter((name) =>
      name.endsWith('.test.ts'),
    );
    const missing = files.filter((name) => !testFiles.some(({ path }) => path === `test/bpf/${name}`));
    expect(missing).toEqual([]);
  });

  it('each have a line and a name of their own', () => {
    const steps = stepsOf(testFiles);
    const names = steps.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(steps.filter(({ name, command }) => /\s/.test(name) || command.includes('\n'))).toEqual([]);
  });
});

describe('the machines of a kernel', () => {
  it('do all steps between them, each in order, and take about the same time', () => {
    const steps = stepsOf(testFiles);
    const parts = splitOverMachines(steps);
    expect(new Set(parts.flat())).toEqual(new Set(steps));
    expect(parts.flat()).toHaveLength(steps.length);
    for (const part of parts)
      expect(part.map((step) => steps.indexOf(step))).toEqual(
        part.map((step) => steps.indexOf(step)).toSorted((a, b) => a - b),
      );
    const [first = 0, second = 0, ...more] = parts.map((part) =>
      part.reduce((sum, { usualSeconds }) => sum + usualSeconds, 0),
    );
    expect(more).toEqual([]);
    expect(Math.abs(first - second)).toBeLessThan(0.1 * (first + second));
  });

  it('are one, where there is little to do', () => {
    const steps = stepsOf(testFiles.filter(({ name }) => name === 'bpf-abi'));
    expect(splitOverMachines(steps)).toEqual([steps]);
  });
});

describe('the command line', () => {
  it('takes all kernels and tests unless told which', () => {
    expect(parseOptions([])).toMatchObject({ kernels, tests: testFiles, update: false });
    const { kernels: chosen, tests } = parseOptions([
      '--kernel',
      '6.1',
      '--only',
      'lab',
      '--only',
      'bpf-abi',
    ]);
    expect(chosen.map(({ series }) => series)).toEqual(['6.1']);
    expect(tests.map(({ name }) => name)).toEqual(['bpf-abi', 'lab']);
  });

  it.each([
    ['--kernel', '4.19'],
    ['--only', 'nothing'],
    ['--timeout', '0'],
    ['--timeout', '1h'],
    ['--cpus', '9'],
  ])('refuses %s %s', (flag, value) => expect(() => parseOptions([flag, value])).toThrow(value));
});
