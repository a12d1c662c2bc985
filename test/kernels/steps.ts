/** What each kernel is asked to do, one after the other. Pure. */
import { join } from 'node:path';

export interface Step {
  /** `bpf/egress`, as a file name: what it prints is `NAME.log` among the results. */
  readonly name: string;
  readonly kind: 'programs' | 'doctor' | 'tests';
  readonly timeoutSeconds: number;
  readonly usualSeconds: number;
  /** For bash, in one line. */
  readonly command: string;
}

export interface Places {
  readonly root: string;
  readonly results: string;
  /** Of the bundled tests. */
  readonly bundles: string;
  /** Of programs that tests would compile: a compiler takes minutes in the guest. */
  readonly objects: string;
}

export interface TestFile {
  readonly name: string;
  /** Of the sources, from the root. */
  readonly path: string;
}

const bpfTests = [
  'abi',
  'acceleration',
  'bpffs',
  'capture',
  'capture-probe',
  'inbound',
  'egress',
  'inspect',
  'kernel-path',
  'kernel-path-addresses',
  'kernel-path-crowd',
  'kernel-path-limits',
  'kernel-path-network',
  'kernel-path-reuse',
  'kernel-path-share',
  'kernel-path-sockets',
  'kernel-services',
  'kernel-sessions',
  'limits',
  'restart',
  'self-test',
  'upgrade',
];

export const testFiles: readonly TestFile[] = [
  ...bpfTests.map((name) => ({ name: `bpf-${name}`, path: `test/bpf/${name}.test.ts` })),
  { name: 'lab', path: 'test/kernels/scenarios/lab.test.ts' },
];

/** What a step takes on a quiet machine, about: by this they are split over machines. */
const usualSeconds: Readonly<Record<string, number>> = {
  programs: 2,
  doctor: 8,
  'bpf-acceleration': 40,
  'bpf-self-test': 55,
  'bpf-upgrade': 45,
  lab: 240,
};
const usualSecondsOf = (name: string): number => usualSeconds[name] ?? 20;

/** For what hangs: many times what a step takes, also on a busy host. All of them together have a deadline of their own. */
const longest = 1200;

/** Emulation makes everything ten times slower, and the host may be busy. */
const patience = 10;

/** In the guest's memory: processes that tests start more than once need not compile their modules anew, which takes seconds. */
const compileCache = '/tmp/node-compile-cache';

export function stepsFor(files: readonly TestFile[], places: Places): readonly Step[] {
  const { root, results, bundles, objects } = places;
  const environment = [
    `MESH_EBPF_PATIENCE=${patience}`,
    `MESH_EBPF_OTHER_OBJECTS=${objects}`,
    `NODE_COMPILE_CACHE=${compileCache}`,
  ].join(' ');
  const node = join(root, 'node_modules', '.bin', 'node');
  const steps: readonly Omit<Step, 'timeoutSeconds' | 'usualSeconds'>[] = [
    { name: 'programs', kind: 'programs', command: loadAll(places) },
    { name: 'doctor', kind: 'doctor', command: `bin/mesh-ebpf doctor -o json >${results}/doctor.json` },
    ...files.map(({ name }) => {
      const tap = `--test-reporter=tap --test-reporter-destination=${results}/${name}.tap`;
      const text = '--test-reporter=spec --test-reporter-destination=stdout';
      const command = `${environment} ${node} ${text} ${tap} ${join(bundles, `${name}.mjs`)}`;
      return { name, kind: 'tests' as const, command };
    }),
  ];
  return steps.map((step) => ({
    ...step,
    timeoutSeconds: longest,
    usualSeconds: usualSecondsOf(step.name),
  }));
}

/** With the verifier's whole log in the step's own, and what the kernel made of the programs beside it. */
function loadAll({ results }: Places): string {
  const pins = '/sys/fs/bpf/matrix';
  return [
    `bpftool -d prog loadall build/bpf/mesh.bpf.o ${pins}`,
    `bpftool -j prog show >${results}/programs.json`,
    `rm -r ${pins}`,
  ].join(' && ');
}
