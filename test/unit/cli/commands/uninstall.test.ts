import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import type { DatapathAccess } from '../../../../src/cli/env.ts';
import { rootOf, kernelWorld } from '../fake-kernel.ts';
import { run, type World } from '../harness.ts';

/** Network namespaces of another installation. */
const others: ReadonlySet<bigint> = new Set([4_026_531_999n]);

const guarded = new MeshError('ALREADY_EXISTS', 'another process is in charge', { hint: 'stop it' });

interface Machine {
  readonly world: World;
  readonly removed: string[];
  /** What the kernel was to be looked through for, and how much had been removed by then. */
  readonly asked: { readonly roots: readonly string[]; readonly whole: boolean; readonly removed: number }[];
}

function machine(
  options: {
    readonly left?: readonly string[];
    readonly unclaimed?: readonly string[];
    readonly answer?: string;
    readonly locked?: boolean;
  } = {},
): Machine {
  const removed: string[] = [];
  const asked: Machine['asked'] = [];
  const datapath: Partial<DatapathAccess> = {
    uninstall: (root) => {
      if (options.locked === true) throw guarded;
      removed.push(root);
      return 9;
    },
    owned: (roots, whole) => {
      asked.push({ roots, whole, removed: removed.length });
      return { objects: new Set(), cgroups: new Set() };
    },
    othersNamespaces: () => others,
    unclaimed: () => (options.unclaimed ?? []).map((name) => ({ kind: 'program' as const, name })),
    leftovers: () =>
      Promise.resolve((options.left ?? []).map((name) => ({ kind: 'program' as const, name }))),
  };
  const cleaner = {
    name: 'rules and routes of pods',
    find: (notOurs: ReadonlySet<bigint>) =>
      Promise.resolve(removed.includes('rules') || notOurs !== others ? [] : ['rule in pod shop/web-1']),
    remove: (notOurs: ReadonlySet<bigint>) => {
      if (notOurs !== others) throw new Error('would take others’ rules');
      removed.push('rules');
      return Promise.resolve();
    },
  };
  const env = { cleaners: [cleaner], ask: () => Promise.resolve(options.answer) };
  return { removed, asked, world: kernelWorld(datapath, ['node-a', 'node-b'], { env }) };
}

const ownsNothing = () => ({
  objects: new Set<string>(),
  cgroups: new Set<bigint>(),
});
const nothingLeft = (): Promise<never[]> => Promise.resolve([]);

describe('mesh-ebpf uninstall', () => {
  it('removes every node’s pins and everything else, and proves it', async () => {
    const { world: here, removed } = machine();
    const { code, out } = await run('uninstall --verify', here);
    expect(code).toBe(0);
    expect(removed).toEqual([rootOf('node-a'), rootOf('node-b'), 'rules']);
    expect(out).toMatch(/clean: the kernel has nothing/);
  });

  it('names what is left and exits 1', async () => {
    const { code, out } = await run('uninstall --verify', machine({ left: ['mesh_connect4 (17)'] }).world);
    expect(code).toBe(1);
    expect(out).toMatch(/LEFT: 1 thing\n +program mesh_connect4 \(17\)/);
  });

  it('names what nobody claims, and does not count it', async () => {
    const { code, out, err } = await run('uninstall --verify', machine({ unclaimed: ['pods (9)'] }).world);
    expect(code).toBe(0);
    expect(out).toContain('clean');
    expect(err).toMatch(/not counted.*pods \(9\)/);
  });

  it('removes nothing with --dry-run', async () => {
    const { world: here, removed } = machine();
    const { code, out } = await run('uninstall --dry-run', here);
    expect({ code, removed }).toEqual({ code: 0, removed: [] });
    expect(out).toMatch(/would remove +BPF programs and maps pinned in .*node-a/);
    expect(out).toMatch(/would remove +rule in pod shop\/web-1/);
  });

  it.each([
    ['n', 0],
    ['', 0],
    ['y', 3],
    [undefined, 3],
  ])('asks a person first: "%s" removes %i things', async (answer, count) => {
    const { world: here, removed } = machine(answer === undefined ? {} : { answer });
    await run('uninstall', here);
    expect(removed).toHaveLength(count);
  });

  it('does not ask with -y', async () => {
    const { world: here, removed } = machine({ answer: 'n' });
    await run('uninstall -y', here);
    expect(removed).toHaveLength(3);
  });

  it('leaves the rules in pods to a running node that guards its pins, says so, and exits 3', async () => {
    const { world: here, removed } = machine({ locked: true });
    const { code, out, err } = await run('uninstall', here);
    expect({ code, removed }).toEqual({ code: 3, removed: [] });
    expect(out).toMatch(/NOT removed +rules and routes of pods/);
    expect(err).toMatch(/another process is in charge[\s\S]*next: stop it/);
  });

  it('learns what is the machine’s own before it removes it', async () => {
    const { world: here, asked } = machine();
    await run('uninstall --verify', here);
    expect(asked).toEqual([{ roots: [rootOf('node-a'), rootOf('node-b')], whole: true, removed: 0 }]);
  });

  it('takes only one node with --pin-root, and verifies that one', async () => {
    const { world: here, removed, asked } = machine();
    const { code } = await run(`uninstall --verify --pin-root ${rootOf('node-a')}`, here);
    expect(code).toBe(0);
    expect(asked).toEqual([{ roots: [rootOf('node-a')], whole: false, removed: 0 }]);
    // The rules in pods are still needed by the other node.
    expect(removed).toEqual([rootOf('node-a')]);
  });

  it('is content when nothing is installed', async () => {
    const { code, out } = await run(
      'uninstall --verify',
      kernelWorld(
        { owned: ownsNothing, leftovers: nothingLeft, unclaimed: () => [], othersNamespaces: () => others },
        [],
      ),
    );
    expect(code).toBe(0);
    expect(out).toMatch(/nothing is installed\nclean/);
  });
});
