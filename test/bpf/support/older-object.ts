/**
 * The programs of another version: compiled with more fields in the structs that they share with user space. Made of the
 * current ones, so that there is a version to upgrade from.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** One more field at the front moves all others. */
const changed: readonly (readonly [struct: string, field: string])[] = [
  ['mesh_config', '__u64 test_field;'],
  ['mesh_pod', '__u64 test_field;'],
  ['mesh_flow_key', '__u32 test_field;'],
  ['mesh_flow', '__u64 test_field;'],
  ['mesh_ended', '__u64 test_field;'],
  ['mesh_accelerated', '__u64 test_field;'],
  ['mesh_session', '__u64 test_field;'],
];

const bpf = new URL('../../../bpf', import.meta.url).pathname;

/** Compiles them below `directory`, which must be there; `make test-kernels` has done so before. */
export function compileOlder(directory: string): string {
  const made = process.env['MESH_EBPF_OLDER_OBJECT'];
  if (made !== undefined) return made;
  const source = join(directory, 'bpf');
  cpSync(bpf, source, { recursive: true });
  const header = join(source, 'include', 'abi.h');
  writeFileSync(header, changed.reduce(addField, withoutSizes(readFileSync(header, 'utf8'))));
  const out = join(directory, 'out');
  mkdirSync(out);
  execFileSync('/bin/sh', ['-ec', `make -s -C ${source} OUT=${out}`]);
  return join(out, 'mesh.bpf.o');
}

const withoutSizes = (header: string): string => header.replaceAll(/^_Static_assert.*$/gm, '');

function addField(header: string, [struct, field]: readonly [string, string]): string {
  const start = `struct ${struct} {\n`;
  if (!header.includes(start)) throw new Error(`abi.h has no struct ${struct}`);
  return header.replace(start, `${start}    ${field}\n`);
}

