/**
 * Kernels that were fetched, unpacked and ready to boot: outside the source tree, so that every checkout finds them, and
 * with their checksums, so that a damaged one is fetched again. The newest of a series is looked for once; remove the
 * directory (or `--update`) to look again.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { MeshError } from '../../../src/base/errors.ts';
import { execOk } from '../../cluster/machine/exec.ts';
import { type Progress, step } from '../../cluster/machine/progress.ts';
import type { Kernel } from '../kernels.ts';
import { downloadPackage, fetchLists, findKernel } from './apt.ts';
import type { KernelPackage } from './packages.ts';
import { extractVmlinux } from './vmlinux.ts';

export interface ReadyKernel extends KernelPackage {
  readonly series: string;
  /** What `uname -r` says in it. */
  readonly release: string;
  /** Absolute path of the unpacked kernel. */
  readonly vmlinux: string;
  /** Absolute path of the directory that holds `lib/modules`. */
  readonly modules: string;
}

/** What is written beside the files; of `vmlinux`, so that it can be told from a damaged one. */
interface CacheEntry extends KernelPackage {
  readonly release: string;
  readonly vmlinuxSha256: string;
  readonly modulesIn: string;
}

/** The system's cache for root, and whatever the caller says with `MESH_EBPF_CACHE`. */
export const kernelCache = (env: NodeJS.ProcessEnv = process.env): string =>
  join(env['MESH_EBPF_CACHE'] ?? '/var/cache/mesh-ebpf', 'kernels');

export interface FetchOptions {
  readonly cache: string;
  /** Look for a newer one. */
  readonly update: boolean;
  readonly progress: Progress;
}

export async function readyKernel(kernel: Kernel, options: FetchOptions): Promise<ReadyKernel> {
  const directory = join(options.cache, kernel.series);
  const cached = await readCached(kernel.series, directory);
  if (cached !== undefined && !options.update) return cached;
  const scratch = `${directory}.${process.pid}`;
  try {
    await fetchKernel(kernel, scratch, options.progress);
    await rm(directory, { recursive: true, force: true });
    await rename(scratch, directory);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  const ready = await readCached(kernel.series, directory);
  if (ready !== undefined) return ready;
  throw new MeshError('INTERNAL', `Linux ${kernel.series} was fetched and is not in ${directory}`);
}

async function readCached(series: string, directory: string): Promise<ReadyKernel | undefined> {
  const text = await readFile(join(directory, 'kernel.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const { vmlinuxSha256, modulesIn, ...entry } = JSON.parse(text) as CacheEntry;
  const vmlinux = join(directory, 'vmlinux');
  if ((await sha256Of(vmlinux).catch(() => '')) !== vmlinuxSha256) return undefined;
  return { ...entry, series, vmlinux, modules: join(directory, modulesIn) };
}

async function fetchKernel(kernel: Kernel, directory: string, progress: Progress): Promise<void> {
  await mkdir(directory, { recursive: true });
  const lists = await step(progress, `Linux ${kernel.series}: looking for the newest package`, () =>
    fetchLists(kernel, join(directory, 'apt')),
  );
  const found = await findKernel(kernel, lists);
  const archive = await step(
    progress,
    `Linux ${kernel.series}: fetching ${found.name} ${found.version}`,
    () => downloadPackage(found, lists),
  );
  if ((await sha256Of(archive)) !== found.sha256) {
    throw new MeshError('SYSCALL', `${archive} does not have the checksum of Debian's signed list`);
  }
  await step(progress, `Linux ${kernel.series}: unpacking it`, () => unpack(archive, found, directory));
  await rm(lists.directory, { recursive: true });
}

async function unpack(archive: string, found: KernelPackage, directory: string): Promise<void> {
  const [tree, vmlinux] = [join(directory, 'tree'), join(directory, 'vmlinux')];
  await execOk(['dpkg-deb', '--extract', archive, tree]);
  const modulesIn = (await readdir(tree)).includes('lib') ? 'tree' : 'tree/usr';
  const modules = join(directory, modulesIn);
  const [release = ''] = await readdir(join(modules, 'lib', 'modules'));
  // The package would do it when it is installed.
  await execOk(['depmod', '-b', modules, release]);
  await extractVmlinux(join(tree, 'boot', `vmlinuz-${release}`), vmlinux);
  const entry: CacheEntry = { ...found, release, vmlinuxSha256: await sha256Of(vmlinux), modulesIn };
  await writeFile(join(directory, 'kernel.json'), `${JSON.stringify(entry, undefined, 2)}\n`);
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
