/**
 * Generates src/rpc/generated from proto/ with protoc (Debian's protobuf-compiler) and ts-proto.
 *   node tools/gen-proto.ts           writes the files
 *   node tools/gen-proto.ts --check   fails unless the committed files are what the sources generate
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const protoDir = join(root, 'proto');
const generatedDir = join(root, 'src/rpc/generated');

const tsProtoOptions = [
  'outputServices=grpc-js',
  'esModuleInterop=true',
  'importSuffix=.ts',
  'env=node',
  'forceLong=bigint', // an int64 from a peer must not throw for being large
  'useMapType=true', // a key from a peer must not be `__proto__` of an object
  'outputJsonMethods=false',
  'outputPartialMethods=false',
  'annotateFilesWithVersion=false', // the output must not depend on the machine's protoc
];

/** Generated files by name. */
function generate(): ReadonlyMap<string, string> {
  const out = mkdtempSync(join(tmpdir(), 'mesh-ebpf-proto-'));
  try {
    const sources = readdirSync(protoDir).filter((name) => name.endsWith('.proto'));
    const plugin = join(root, 'node_modules/.bin/protoc-gen-ts_proto');
    execFileSync('protoc', [
      `--plugin=${plugin}`,
      `--ts_proto_out=${out}`,
      `--ts_proto_opt=${tsProtoOptions.join(',')}`,
      `-I${protoDir}`,
      ...sources,
    ]);
    return readTexts(out);
  } finally {
    rmSync(out, { recursive: true });
  }
}

function readTexts(dir: string): ReadonlyMap<string, string> {
  return new Map(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'utf8')]));
}

function write(files: ReadonlyMap<string, string>): void {
  rmSync(generatedDir, { recursive: true, force: true });
  mkdirSync(generatedDir, { recursive: true });
  for (const [name, text] of files) writeFileSync(join(generatedDir, name), text);
}

/** Names of files that are missing, extra or different. */
function differences(wanted: ReadonlyMap<string, string>): readonly string[] {
  const present = readTexts(generatedDir);
  return [...new Set([...wanted.keys(), ...present.keys()])].filter((n) => wanted.get(n) !== present.get(n));
}

function main(): void {
  const files = generate();
  if (!process.argv.includes('--check')) return write(files);
  const stale = differences(files);
  if (stale.length === 0) return;
  process.stderr.write(`src/rpc/generated is stale: ${stale.join(', ')}. Run: node tools/gen-proto.ts\n`);
  process.exitCode = 1;
}

try {
  main();
} catch (error) {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  process.stderr.write('protoc is not installed. Run: apt-get install protobuf-compiler\n');
  process.exitCode = 1;
}
