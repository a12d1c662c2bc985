/** Nothing of the mesh stays on a machine that no longer wants it. */
import { beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync } from 'node:fs';
import { bpffs, labCgroup, labPrefix, netnsDir, pinRoot } from '../../src/lab/layout.ts';
import { findCgroup2, processesIn } from '../../src/lab/system/cgroup.ts';
import { environment } from './support/cli.ts';
import { type Lab, labSuite } from './support/lab.ts';
import { namespace, pod, serverPod, service } from './support/manifest.ts';
import { PodProcess } from './support/pod-process.ts';
import { endNodePrograms, uninstall } from './support/uninstall.ts';

const {
  lab: suite,
  down,
  scenario,
} = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  service('shop/cart', [7001]),
  namespace('legacy', 'none'),
  pod('legacy/old', { node: 'node-a' }),
);

/** What the kernel has of ours in a pod: routing rules and the table they lead to, of both families. */
async function routing(lab: Lab, path: string): Promise<string> {
  const shell = 'for f in -4 -6; do ip $f rule; ip $f route show table 100 2>/dev/null; done; true';
  return (await lab.exec(path, ['sh', '-c', shell])).stdout;
}

const programs = async (): Promise<readonly string[]> => {
  const { stdout } = await new PodProcess(['bpftool', '-j', 'prog', 'show'], environment).finished;
  const found = JSON.parse(stdout) as readonly {
    readonly id: number;
    readonly name?: string;
    readonly type: string;
  }[];
  return found.map(({ id, name = '', type }) => `${id} ${type} ${name}`);
};

describe('uninstall on a machine with a lab', () => {
  scenario('shows with --dry-run what it would remove, and removes nothing', async (lab) => {
    const { code, report } = await uninstall('--dry-run');
    expect(code).toBe(0);
    expect(report.items.filter(({ what }) => what.includes(pinRoot))).toHaveLength(2);
    expect(report.items.map(({ result }) => result)).toEqual(report.items.map(() => 'planned'));
    expect((await lab.client('shop/web', 'greet', 'cart')).greeting).toBeTruthy();
  });

  scenario('refuses while a node program is in charge, and breaks nothing', async (lab) => {
    const { code } = await uninstall('-y', '--verify');
    expect(code).not.toBe(0);
    expect((await lab.client('shop/web', 'greet', 'cart')).greeting).toBeTruthy();
  });

  scenario('removes everything once the node programs are dead, and proves it', async (lab) => {
    const before = await routing(lab, 'shop/web');
    expect(before).toContain('lookup 100');
    await endNodePrograms(lab);
    const pinned = await programs();
    const { code, report } = await uninstall('-y', '--verify');
    expect({ code, leftovers: report.leftovers }).toEqual({ code: 0, leftovers: [] });
    expect(existsSync(pinRoot) ? readdirSync(pinRoot) : []).toEqual([]);
    expect((await programs()).length).toBeLessThan(pinned.length);
    for (const path of ['shop/web', 'shop/cart']) {
      const left = await routing(lab, path);
      expect(left).not.toContain('lookup 100');
      expect(left).not.toContain('dev lo');
      expect(left).toBe(await routing(lab, 'legacy/old'));
    }
  });

  scenario('leaves pods that work without the mesh', async (lab) => {
    // By address: the kubelets, which answer DNS, are stopped.
    const { greeting } = await lab.client('shop/web', 'greet', lab.pod('shop/cart').ip4);
    expect(greeting?.client[0]).toBe(lab.pod('shop/web').ip4);
    expect((await uninstall('--verify', '-y')).code).toBe(0);
  });
});

describe('lab down', () => {
  let stateDir = '';
  let processes: readonly number[] = [];
  beforeAll(async () => {
    ({ stateDir } = suite().layout);
    processes = await processesIn(labCgroup(await findCgroup2()));
    await down();
  }, 60_000);

  it('leaves no namespace, no cgroup, no pin, no file and no process', async () => {
    expect(readdirSync(netnsDir).filter((name) => name.startsWith(labPrefix))).toEqual([]);
    expect(existsSync(labCgroup(await findCgroup2()))).toBe(false);
    expect(
      existsSync(bpffs) ? readdirSync(bpffs).filter((name) => name.startsWith('mesh-ebpf')) : [],
    ).toEqual([]);
    expect(existsSync(stateDir)).toBe(false);
    expect(processes.length).toBeGreaterThan(5);
    expect(processes.filter((pid) => existsSync(`/proc/${pid}/fd/0`))).toEqual([]);
  });

  it('leaves a machine of which "uninstall --verify" says that it is clean', async () => {
    const { code, report } = await uninstall('--verify', '-y');
    expect({ code, leftovers: report.leftovers }).toEqual({ code: 0, leftovers: [] });
  }, 30_000);
});
