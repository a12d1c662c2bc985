/** The initial file system: a static shell, and the modules that reach the host's files. Made anew for each boot. */
import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import { execOk } from '../../cluster/machine/exec.ts';
import type { ReadyKernel } from '../debian/cache.ts';

/** With what these need, which differs by kernel. */
const modules = ['virtio_pci', 'virtio_rng', '9pnet_virtio', '9p', 'overlay'];
const directories = ['bin', 'dev', 'proc', 'sys', 'modules', 'lower', 'layer', 'root'];

export async function makeInitrd(kernel: ReadyKernel, to: string): Promise<void> {
  const tree = `${to}.tree`;
  for (const directory of directories) await mkdir(join(tree, directory), { recursive: true });
  await copyFile('/bin/busybox', join(tree, 'bin', 'busybox'));
  await copyFile(join(import.meta.dirname, '..', 'guest', 'init.sh'), join(tree, 'init'));
  await chmod(join(tree, 'init'), 0o755);
  const files = await moduleFiles(kernel);
  for (const file of files)
    await shell(`${unpackerOf(file)} "$1" >"$2"`, file, join(tree, 'modules', plain(file)));
  await writeFile(join(tree, 'modules.list'), files.map((file) => `${plain(file)}\n`).join(''));
  await shell('cd "$1" && find . | cpio --quiet -o -H newc >"$2"', tree, to);
  await rm(tree, { recursive: true });
}

/** In the order in which they are to be loaded; those that are built in have no file. */
async function moduleFiles({ modules: base, release }: ReadyKernel): Promise<readonly string[]> {
  const lists = modules.map((name) =>
    execOk(['modprobe', '-d', base, '-S', release, '--show-depends', name]).catch((cause: unknown) => {
      throw new MeshError('UNSUPPORTED', `Linux ${release} has no module ${name}`, { cause });
    }),
  );
  const lines = (await Promise.all(lists)).flatMap((text) => text.split('\n'));
  return [...new Set(lines.flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []))];
}

const plain = (file: string): string => basename(file).replace(/\.(xz|zst)$/, '');

function unpackerOf(file: string): string {
  if (file.endsWith('.xz')) return 'xz -dc';
  return file.endsWith('.zst') ? 'zstd -dcq' : 'cat';
}

const shell = (line: string, ...args: readonly string[]): Promise<string> =>
  execOk(['/bin/sh', '-ec', line, 'sh', ...args]);
