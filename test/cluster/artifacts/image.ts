/** Writes OCI image archives from local files: no registry, no builder, no base image needed. */
import { copyFile, cp, mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { MeshError } from '../../../src/base/errors.ts';
import { execOk } from '../machine/exec.ts';
import { describeImage, type ImageOptions, type Layer } from '../plan/image-layout.ts';

export interface ImageSpec extends ImageOptions {
  /** Tar archives that become the first layers, such as a root file system. */
  readonly layers?: readonly string[];
  /** By path in the image, the file or directory it is copied from: the last layer. */
  readonly files: Readonly<Record<string, string>>;
}

/** Writes `archive` whole or not at all. @throws MeshError NOT_FOUND when a file is missing */
export async function writeImage(archive: string, spec: ImageSpec): Promise<void> {
  await mkdir(dirname(archive), { recursive: true });
  const work = await mkdtemp(join(dirname(archive), '.image-'));
  try {
    const blobs = join(work, 'image', 'blobs', 'sha256');
    await mkdir(blobs, { recursive: true });
    const layers: Layer[] = [];
    for (const tar of await layerArchives(work, spec)) layers.push(await addLayer(blobs, tar));
    await writeMetadata(join(work, 'image'), spec, layers);
    await tarDirectory(join(work, 'image'), join(work, 'image.tar'));
    await rename(join(work, 'image.tar'), archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function layerArchives(work: string, { layers = [], files }: ImageSpec): Promise<readonly string[]> {
  for (const path of [...layers, ...Object.values(files)]) {
    if (!existsSync(path))
      throw new MeshError('NOT_FOUND', `${path}, which is to be in the image, is missing`);
  }
  if (Object.keys(files).length === 0) return layers;
  for (const [path, source] of Object.entries(files)) {
    const target = join(work, 'files', path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await cp(source, target, { recursive: true, dereference: true });
  }
  await tarDirectory(join(work, 'files'), join(work, 'files.tar'));
  return [...layers, join(work, 'files.tar')];
}

async function addLayer(blobs: string, tar: string): Promise<Layer> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(tar), hash);
  const hex = hash.digest('hex');
  await copyFile(tar, join(blobs, hex));
  return { digest: `sha256:${hex}`, size: (await stat(tar)).size };
}

async function writeMetadata(image: string, options: ImageOptions, layers: readonly Layer[]): Promise<void> {
  const { index, blobs } = describeImage(options, layers);
  await writeFile(join(image, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFile(join(image, 'index.json'), index);
  for (const { digest, content } of blobs) {
    await writeFile(join(image, 'blobs', digest.replace(':', '/')), content);
  }
}

/** The same files make the same archive. */
const tarDirectory = (directory: string, archive: string): Promise<string> =>
  execOk([
    'tar',
    '-C',
    directory,
    '--sort=name',
    '--mtime=@0',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '-cf',
    archive,
    '.',
  ]);
