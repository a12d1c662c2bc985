/** Builds what no Debian package has, once: Kubernetes and etcd, CoreDNS, fortio, and the images of the cluster. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { execOk } from '../machine/exec.ts';
import { type Progress, step } from '../machine/progress.ts';
import { pauseImage } from '../plan/node-files.ts';
import { versions } from '../versions.ts';
import { type Cache, cacheKey, componentsDir, kubernetesVersion } from './cache.ts';
import { writeImage } from './image.ts';
import { findToolchain, type Toolchain } from './toolchain.ts';

export interface Build {
  /** Programs, by their usual names. */
  readonly bin: string;
  /** Image archives. */
  readonly images: string;
}

/** The names under which the one program of `components/` is found. */
const components = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
  'kubectl',
] as const;

/** Echo server and load generator: the name under which anybody's cluster can pull it. */
export const fortioImage = `docker.io/fortio/fortio:${versions.fortio.slice(1)}`;
const corednsImage = 'registry.k8s.io/coredns/coredns:mesh-ebpf';

/** What was built before, or a new build of minutes. */
export async function ensureBuilt(cache: Cache, progress: Progress): Promise<Build> {
  const toolchain = await findToolchain(cache, progress);
  const key = cacheKey(toolchain.version);
  const directory = join(cache.builds, key);
  if (!existsSync(directory)) {
    await buildAll(toolchain, directory, progress);
    await removeOthers(cache, key);
  }
  return { bin: join(directory, 'bin'), images: join(directory, 'images') };
}

/** In a directory beside, renamed when complete: an interrupted build leaves nothing that looks built. */
async function buildAll(toolchain: Toolchain, directory: string, progress: Progress): Promise<void> {
  const work = `${directory}.building.${process.pid}`;
  const bin = join(work, 'bin');
  await mkdir(bin, { recursive: true });
  try {
    const kubernetes = kubernetesVersion();
    const minutes = 'minutes, once';
    await step(progress, `building Kubernetes ${kubernetes} and etcd (${minutes})`, () =>
      buildComponents(toolchain, bin, kubernetes),
    );
    await step(progress, `building CoreDNS ${versions.coredns}`, () =>
      install(toolchain, bin, `github.com/coredns/coredns@${versions.coredns}`),
    );
    await step(progress, `building fortio ${versions.fortio}`, () =>
      install(toolchain, bin, `fortio.org/fortio@${versions.fortio}`),
    );
    await execOk(['gcc', '-O2', '-static', '-o', join(bin, 'pause'), join(componentsDir, 'pause.c')]);
    await step(progress, 'writing images', () => writeImages(bin, join(work, 'images')));
    await rename(work, directory);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function buildComponents(toolchain: Toolchain, bin: string, kubernetes: string): Promise<void> {
  const program = join(bin, 'components');
  const [, minor = ''] = kubernetes.split('.');
  const variables = { gitVersion: kubernetes, gitMajor: '1', gitMinor: minor, gitTreeState: 'clean' };
  const set = Object.entries(variables).map(
    ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
  );
  await goBuild(toolchain, ['build', '-trimpath', '-ldflags', `-s -w ${set.join(' ')}`, '-o', program, '.'], {
    cwd: componentsDir,
  });
  for (const name of components) await symlink('components', join(bin, name));
}

/** Each in versions of its own dependencies: they need not agree with Kubernetes'. */
async function install(toolchain: Toolchain, bin: string, module: string): Promise<void> {
  await goBuild(toolchain, ['install', '-trimpath', '-ldflags', '-s -w', module], { cwd: bin, GOBIN: bin });
}

async function goBuild(
  { go, env }: Toolchain,
  args: readonly string[],
  { cwd, ...more }: { readonly cwd: string; readonly GOBIN?: string },
): Promise<void> {
  await execOk(['nice', '-n', '5', go, ...args], { cwd, env: { ...env, ...more } });
}

async function writeImages(bin: string, images: string): Promise<void> {
  const image = (file: string, name: string, path: string): Promise<void> =>
    writeImage(join(images, file), {
      name,
      entrypoint: [path],
      files: { [path]: join(bin, path.slice(path.lastIndexOf('/') + 1)) },
    });
  await image('pause.tar', pauseImage, '/pause');
  await image('coredns.tar', corednsImage, '/coredns');
  await image('fortio.tar', fortioImage, '/usr/bin/fortio');
}

/** Builds of other versions are of no use to this checkout, and large. One that is in the making is left alone. */
async function removeOthers(cache: Cache, key: string): Promise<void> {
  const others = (await readdir(cache.builds)).filter((name) => name !== key && !name.includes('.'));
  for (const name of others) await rm(join(cache.builds, name), { recursive: true, force: true });
}
