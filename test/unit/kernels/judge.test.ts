import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { kernels } from '../../kernels/kernels.ts';
import { tooOld } from '../../../src/datapath/acceleration/trial.ts';
import { documentedSkips, missingFeatures, skipDifferences } from '../../kernels/judge/features.ts';
import { programCosts } from '../../kernels/judge/programs.ts';
import { type Evidence, judgeKernel } from '../../kernels/judge/result.ts';
import { renderMatrix, tally } from '../../kernels/judge/table.ts';
import { countsOf, titlesOf } from '../../kernels/judge/tap.ts';
import { complaintsOf, panicOf } from '../../kernels/machine/console.ts';
import type { Run } from '../../kernels/machine/boot.ts';
import type { Step } from '../../kernels/steps.ts';

const tap = (counts: Partial<Record<string, number>>, body = ''): string =>
  `TAP version 13\n${body}1..1\n${['pass', 'fail', 'cancelled', 'skipped', 'todo']
    .map((word) => `# ${word} ${counts[word] ?? 0}\n`)
    .join('')}`;

describe('a test run', () => {
  it('is what it counted; what was cancelled or is to do has not passed', () => {
    expect(countsOf(tap({ pass: 7, fail: 1, cancelled: 2, skipped: 1, todo: 1 }))).toEqual({
      passed: 7,
      failed: 4,
      skipped: 1,
    });
  });

  it('that did not come to its end has no counts', () => {
    expect(countsOf('')).toBeUndefined();
    expect(countsOf('TAP version 13\nok 1 - a\n# pass 1\n')).toBeUndefined();
  });

  it('names its tests by how they ended, and not their suites', () => {
    const body = [
      '    not ok 1 - is captured',
      '      ---',
      "      type: 'test'",
      '      ...',
      '    ok 2 - is refused',
      '      ---',
      "      type: 'test'",
      '      ...',
      '    ok 3 - is new # SKIP',
      '      ---',
      "      type: 'test'",
      '      ...',
      'not ok 1 - a pod',
      '  ---',
      "  type: 'suite'",
      '  ...',
      '',
    ].join('\n');
    expect(titlesOf(tap({ fail: 1 }, body))).toEqual({
      passed: ['is refused'],
      failed: ['is captured'],
      skipped: ['is new'],
    });
  });
});

describe('a kernel that is in trouble', () => {
  it('is told by its panic, and what came before', () => {
    const console =
      '[ 1.2] BUG: kernel NULL pointer dereference, address: 0\n[ 1.3] Kernel panic - not syncing: Fatal exception\n';
    expect(panicOf(console)).toBe(
      'Fatal exception; before that: BUG: kernel NULL pointer dereference, address: 0',
    );
    expect(panicOf('[ 1.2] all is well\n')).toBeUndefined();
  });

  it('is told by what it complained about and survived', () => {
    const messages =
      '[    1.234567] WARNING: CPU: 0 PID: 1 at net/core/sock_map.c:5\n[    2.0] WARNINGS are fine\n';
    expect(complaintsOf(messages)).toEqual(['WARNING: CPU: 0 PID: 1 at net/core/sock_map.c:5']);
  });
});

const verifierLog = [
  'libbpf: loading mesh.bpf.o',
  "libbpf: prog 'mesh_sockops': -- BEGIN PROG LOAD LOG --",
  '0: (bf) r6 = r1',
  'verification time 1741 usec',
  'processed 149 insns (limit 1000000) max_states_per_insn 0 total_states 9 peak_states 9 mark_read 0',
  '-- END PROG LOAD LOG --',
  "libbpf: prog 'mesh_other': -- BEGIN PROG LOAD LOG --",
  '-- END PROG LOAD LOG --',
].join('\n');
const shown = JSON.stringify([
  { id: 1, type: 'sock_ops', name: 'mesh_sockops', bytes_xlated: 1416, bytes_jited: 762 },
  { id: 2, type: 'cgroup_skb' },
]);

describe('the cost of programs', () => {
  it('is what the verifier went through and what the kernel made of it', () => {
    expect(programCosts(verifierLog, shown)).toEqual([
      { program: 'mesh_sockops', verified: 149, instructions: 177, machineBytes: 762 },
    ]);
  });
});

describe('what a kernel skips', () => {
  const doctor = JSON.stringify({
    items: [
      { name: 'SO_NETNS_COOKIE', found: 'missing (Linux 5.14 has it)' },
      { name: 'sk_lookup programs', found: 'works' },
      { name: 'acceleration', found: tooOld },
    ],
  });

  it('is what doctor calls missing', () =>
    expect(missingFeatures(doctor)).toEqual(['SO_NETNS_COOKIE', 'acceleration']));

  it('is to be what docs/kernels.md says, both ways', () => {
    const text =
      '\n| kernel | features | tests |\n|---|---|---|\n| 5.10 | `a`, b | c, d; e |\n| 6.1 | none | none |\n\n';
    expect([...documentedSkips(text)]).toEqual([
      ['5.10', { features: ['a', 'b'], tests: ['c, d', 'e'] }],
      ['6.1', { features: [], tests: [] }],
    ]);
    const found = { features: ['a', 'c'], tests: ['d'] };
    const documented = { features: ['a', 'b'], tests: ['e', 'f'] };
    expect(skipDifferences(found, documented, ['e'])).toEqual([
      'c is missing, and docs/kernels.md does not say so',
      'what the test "d" needs is missing, and docs/kernels.md does not say so',
      'b is there, and docs/kernels.md says that it is not',
      'what the test "e" needs is there, and docs/kernels.md says that it is not',
    ]);
  });

  it('is documented of every kernel there is', () => {
    const text = readFileSync(new URL('../../../docs/kernels.md', import.meta.url), 'utf8');
    expect([...documentedSkips(text).keys()]).toEqual(kernels.map(({ series }) => series));
  });
});

const steps: readonly Step[] = [
  { name: 'programs', kind: 'programs', timeoutSeconds: 1, usualSeconds: 1, command: 'true' },
  { name: 'doctor', kind: 'doctor', timeoutSeconds: 1, usualSeconds: 1, command: 'true' },
  { name: 'lab', kind: 'tests', timeoutSeconds: 1, usualSeconds: 1, command: 'true' },
];

const run = (changes: Partial<Run['transcript']> & Partial<Omit<Run, 'transcript'>> = {}): Run => ({
  transcript: {
    release: changes.release ?? '6.1.0-1-amd64',
    ended: changes.ended ?? steps.map(({ name }) => ({ step: name, status: 0, seconds: 7 })),
    running: changes.running,
    complete: changes.complete ?? true,
    nonsense: changes.nonsense,
  },
  timedOut: changes.timedOut ?? false,
  console: changes.console ?? '',
  messages: changes.messages ?? '',
  complaint: changes.complaint ?? '',
});

const evidence = (changes: Partial<Evidence> = {}): Evidence => ({
  series: '6.1',
  release: '6.1.0-1-amd64',
  seconds: 61,
  steps,
  runs: [run()],
  file: (name) =>
    ({
      'programs.log': verifierLog,
      'programs.json': shown,
      'doctor.json': '{"items":[]}',
      'lab.tap': tap({ pass: 3 }),
    })[name] ?? '',
  programNames: ['mesh_sockops'],
  documentedSkips: { features: [], tests: [] },
  ...changes,
});

describe('a kernel', () => {
  it('on which everything went well has no problems', () => {
    const result = judgeKernel(evidence());
    expect(result.problems).toEqual([]);
    expect(tally([result])).toEqual({ passed: 5, failed: 0 });
    const text = renderMatrix([result]);
    expect(text).toContain('149 / 177 / 762');
    expect(text).toMatch(/^lab +3 ok, 7 s$/m);
    expect(text).toMatch(/^all +5 ok, 61 s$/m);
  });

  it.each<[string, Partial<Evidence>, string]>([
    [
      'that panicked names the panic and the step',
      {
        runs: [
          run({
            ended: [{ step: 'programs', status: 0, seconds: 7 }],
            running: 'lab',
            complete: false,
            console: 'Kernel panic - not syncing: Oops',
          }),
        ],
      },
      'the kernel panicked during lab: Oops',
    ],
    [
      'that hung is a timeout',
      {
        runs: [
          run({
            ended: [{ step: 'programs', status: 0, seconds: 7 }],
            running: 'lab',
            complete: false,
            timedOut: true,
          }),
        ],
      },
      'its time was up during lab: it was ended',
    ],
    [
      'that fell silent ended too soon',
      { runs: [run({ complete: false, complaint: 'qemu: no' })] },
      'the machine ended too soon: qemu: no',
    ],
    [
      'fails when one of its machines does',
      {
        runs: [
          run({ ended: steps.slice(0, 2).map(({ name }) => ({ step: name, status: 0, seconds: 7 })) }),
          run({ ended: [], running: 'lab', complete: false }),
        ],
      },
      'lab: did not come to its end',
    ],
    [
      'that is another one is not taken for it',
      { runs: [run({ release: '6.18.1' })] },
      'it calls itself 6.18.1 and not 6.1.0-1-amd64',
    ],
    [
      'that said something else is not believed',
      { runs: [run({ nonsense: 'hello', complete: false })] },
      'it said "hello", which it should not',
    ],
    [
      'whose test command failed fails, though all its tests passed',
      {
        runs: [
          run({
            ended: [
              { step: 'programs', status: 0, seconds: 7 },
              { step: 'lab', status: 1, seconds: 7 },
            ],
          }),
        ],
      },
      'lab: ended with 1',
    ],
    [
      'whose test file took too long says so',
      {
        runs: [
          run({
            ended: [
              { step: 'programs', status: 0, seconds: 7 },
              { step: 'lab', status: 124, seconds: 7 },
            ],
          }),
        ],
      },
      'lab: its time was up',
    ],
    [
      'whose program was not measured fails',
      { programNames: ['mesh_sockops', 'mesh_other'] },
      "the verifier's log tells nothing of mesh_other",
    ],
    [
      'whose tests were skipped without a word in the documentation fails',
      {
        file: (name) =>
          name === 'lab.tap'
            ? tap({ pass: 1, skipped: 1 }, "ok 1 - is new # SKIP\n  ---\n  type: 'test'\n  ...\n")
            : evidence().file(name),
      },
      'what the test "is new" needs is missing, and docs/kernels.md does not say so',
    ],
    [
      'that ran no tests fails',
      { file: (name) => (name === 'lab.tap' ? tap({}) : evidence().file(name)) },
      'lab: ran no tests',
    ],
    [
      'that complained fails',
      { runs: [run({ messages: '[ 1.0] WARNING: CPU: 0 at x' })] },
      'the kernel complained: WARNING: CPU: 0 at x',
    ],
  ])('%s', (_what, changes, problem) => {
    const result = judgeKernel(evidence(changes));
    expect(result.problems).toContain(problem);
    expect(tally([result]).failed).toBeGreaterThan(0);
    expect(renderMatrix([result])).toContain(`✘ 6.1  ${problem}`);
  });

  it('is needed: no kernel is no success', () => expect(tally([]).failed).toBe(1));
});
