import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { hbonePort, outboundPort, plaintextPort } from '../../src/base/ports.ts';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(root, path)));
const sources = tracked.filter((path) => /^src\/.*\.ts$/.test(path) && !path.includes('/generated/'));

/** Sources that contain `pattern` outside comments. */
const using = (pattern: RegExp): string[] =>
  sources.filter((path) => pattern.test(read(path).replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gm, '')));

describe('the repository', () => {
  it('has a README in every top folder with sources', () => {
    const folders = ['bpf', 'native', 'src', 'test', 'tools', 'examples', 'docs'];
    expect(folders.filter((folder) => !existsSync(join(root, folder, 'README.md')))).toEqual([]);
  });

  it('begins every source file with what it is for', () => {
    const silent = sources.filter((path) => !/^(#!.*\n)?\/(\*\*|\/)/.test(read(path)));
    expect(silent).toEqual([]);
  });

  it('reads the environment in src/apps only', () => {
    expect(using(/\bprocess\.env\b/).filter((path) => !path.startsWith('src/apps/'))).toEqual([]);
  });

  it('ends the process in main.ts only', () => {
    expect(using(/\bprocess\.exit\(/).filter((path) => path !== 'src/main.ts')).toEqual([]);
  });

  it('loads the native addon in one file only', () => {
    expect(using(/mesh_ebpf\.node/)).toEqual(['src/native/load.ts']);
  });

  it('has no binaries and nothing large', () => {
    const large = tracked.filter((path) => readFileSync(join(root, path)).length > 400_000);
    const binary = tracked.filter((path) => readFileSync(join(root, path)).includes(0));
    expect({ large: large.filter((path) => path !== 'package-lock.json'), binary }).toEqual({
      large: [],
      binary: [],
    });
  });

  it('names no registry in its lockfile', () => {
    expect(read('package-lock.json')).not.toContain('"resolved"');
  });
});

describe('ports', () => {
  const abi = read('bpf/include/abi.h');

  it.each([
    ['outbound', outboundPort],
    ['plaintext', plaintextPort],
    ['HBONE', hbonePort],
  ])('%s has one number in the kernel, in TypeScript and in ARCHITECTURE.md', (_name, port) => {
    expect(abi).toMatch(new RegExp(`\\b${port}\\b`));
    expect(read('ARCHITECTURE.md')).toContain(`| ${port} |`);
  });
});

describe('source folders', () => {
  it('are each described in src/README.md', () => {
    const folders = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    const text = read('src/README.md');
    expect(folders.map(({ name }) => name).filter((name) => !text.includes(`\`${name}/\``))).toEqual([]);
  });
});
