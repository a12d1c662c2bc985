/** What the kernel holds, for tests of the commands that read it. */
import type { CliEnv, DatapathAccess } from '../../../src/cli/env.ts';
import type { MapSummary } from '../../../src/datapath/inspect/maps.ts';
import type { AttachedProgram } from '../../../src/datapath/inspect/programs.ts';
import { noDatapath, type World } from './harness.ts';

export const rootOf = (node: string): string => `/sys/fs/bpf/mesh-ebpf-lab/${node}`;

export const map = (name: string, extra: Partial<MapSummary> = {}): MapSummary => ({
  name,
  purpose: `what ${name} is for`,
  type: 'hash',
  entries: 42,
  capacity: 1024,
  whenFull: 'something stops',
  pinned: true,
  nearlyFull: false,
  ...extra,
});

export const program = (name: string, extra: Partial<AttachedProgram> = {}): AttachedProgram => ({
  program: name,
  attachPoint: 'cgroup/connect4',
  purpose: 'captures',
  attached: true,
  target: 'cgroup 1',
  tag: '0123456789abcdef',
  runs: 12n,
  totalNs: 3720n,
  averageNs: 310,
  isCounting: true,
  ...extra,
});

export const pods = [
  { netnsCookie: '7', podId: 1, pod: 'shop/web-1', ip4: '10.0.0.5' },
  { netnsCookie: '8', podId: 2, pod: 'shop/cart-1', ip4: '10.0.0.6' },
];

/** A machine with nodes whose pins can be read; no node runs. */
export function kernelWorld(
  datapath: Partial<DatapathAccess>,
  nodes: readonly string[] = ['node-a'],
  extra: World = {},
): World {
  const files = Object.fromEntries(nodes.map((node) => [`${rootOf(node)}/maps/pods`, '']));
  const env: Partial<CliEnv> = {
    datapath: {
      ...noDatapath,
      maps: () => [map('pods')],
      dump: () => pods,
      programs: () => [program('mesh_connect4')],
      ...datapath,
    },
    ...extra.env,
  };
  return { ...extra, files: { ...files, ...extra.files }, env };
}
