/**
 * The programs with something changed, for tests that need other ones than those in force. Made of the current sources. A
 * test compiles them, unless somebody has done so before: in an emulated kernel a compiler takes minutes.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

interface Recipe {
  readonly changes: readonly Change[];
  /** For `make`. */
  readonly variables?: string;
}
/** A text in a file, and what is to stand there instead. */
type Change = readonly [file: string, from: string | RegExp, to: string];

const abi = 'include/abi.h';
const connect = 'connect.bpf.c';
const decision = '    enum verdict verdict = decide(ctx, &to);';

/** One more field at the front moves all others. */
const moved = (struct: string, type = '__u64'): Change => {
  const start = `struct ${struct} {\n`;
  return [abi, start, `${start}    ${type} test_field;\n`];
};

const recipes = {
  /** As another compiler would have made them. */
  variant: { changes: [], variables: 'CPU=v2' },
  /** Of another version: more fields in the structs that they share with user space. */
  older: {
    changes: [
      [abi, /^_Static_assert.*$/gm, ''],
      moved('mesh_config'),
      moved('mesh_pod'),
      moved('mesh_flow_key', '__u32'),
      moved('mesh_flow'),
      moved('mesh_ended'),
      moved('mesh_accelerated'),
      moved('mesh_session'),
    ],
  },
  allowsAll: {
    changes: [
      [
        connect,
        '    if (verdict != REDIRECT)\n        return verdict;',
        '    if (verdict != REDIRECT || to.port != 0)\n        return ALLOW;',
      ],
    ],
  },
  admitsOutdated: {
    changes: [
      [
        'sk-lookup.bpf.c',
        'return verdict && verdict->generation == node->verdict_generation;',
        'return verdict && verdict->generation <= node->verdict_generation;',
      ],
    ],
  },
  missesServices: { changes: [[connect, '            to->port = endpoint.port;\n', '']] },
  missesSessions: { changes: [[connect, '? pod->ip4 : pod->ip6', '? pod->ip6 : pod->ip4']] },
  /** The verifier finds the loop. */
  doesNotLoad: {
    changes: [[connect, decision, `    for (volatile int i = 0; i >= 0;)\n        i = 1;\n${decision}`]],
  },
} as const satisfies Readonly<Record<string, Recipe>>;

export type OtherObject = keyof typeof recipes;

const bpf = new URL('../../../bpf', import.meta.url).pathname;
const objectIn = (directory: string, name: OtherObject): string => join(directory, name, 'out', 'mesh.bpf.o');

/** Its path: compiled below a directory that is there, or where `make test-kernels` has compiled all of them. */
export function otherObject(name: OtherObject, directory: string): string {
  const path = objectIn(process.env['MESH_EBPF_OTHER_OBJECTS'] ?? directory, name);
  if (!existsSync(path)) compile(name, directory);
  return path;
}

/** For a machine that cannot. */
export function compileAll(directory: string): void {
  for (const name of Object.keys(recipes) as OtherObject[]) compile(name, directory);
}

function compile(name: OtherObject, directory: string): void {
  const { changes, variables = '' }: Recipe = recipes[name];
  const source = join(directory, name, 'bpf');
  cpSync(bpf, source, { recursive: true });
  for (const [file, from, to] of changes) change(join(source, file), from, to);
  const out = dirname(objectIn(directory, name));
  mkdirSync(out);
  execFileSync('/bin/sh', ['-ec', `make -s -C ${source} OUT=${out} ${variables}`]);
}

function change(path: string, from: string | RegExp, to: string): void {
  const before = readFileSync(path, 'utf8');
  const after = before.replaceAll(from, to);
  if (after === before) throw new Error(`${path} has no "${from}"`);
  writeFileSync(path, after);
}
