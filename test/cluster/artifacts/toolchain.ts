/**
 * A Go that is new enough. Debian 12 has 1.19, which cannot build Kubernetes, but can fetch a newer one: Go publishes
 * its toolchains as versions of the module `golang.org/toolchain`, checked like any module against Go's checksum
 * database. From 1.21 on, Go would switch to it by itself; before, the two things it does besides are done here.
 */
import { chmod, cp, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import { exec, execOk } from '../machine/exec.ts';
import { type Progress, step } from '../machine/progress.ts';
import { versions } from '../versions.ts';
import { type Cache, neededGo } from './cache.ts';

export interface Toolchain {
  readonly go: string;
  /** `1.26.8` */
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
}

/** @throws MeshError UNSUPPORTED when there is no Go at all */
export async function findToolchain(cache: Cache, progress: Progress): Promise<Toolchain> {
  const installed = await versionOf('go', cache);
  if (installed !== undefined && isAtLeast(installed, neededGo())) {
    return { go: 'go', version: installed, env: goEnvironment(cache) };
  }
  const root = join(cache.go, `toolchain-${versions.go}`);
  if (!existsSync(root)) {
    await step(progress, `fetching Go ${versions.go}, as ${installed ?? 'none'} is installed`, () =>
      fetchToolchain(cache, root),
    );
  }
  const env = { ...goEnvironment(cache), GOROOT: root };
  return { go: join(root, 'bin', 'go'), version: versions.go, env };
}

/** Go's own caches are kept with ours: one directory to throw away. */
function goEnvironment(cache: Cache): NodeJS.ProcessEnv {
  const { GOROOT: _, ...inherited } = process.env;
  return {
    ...inherited,
    GOPATH: cache.go,
    GOMODCACHE: join(cache.go, 'mod'),
    GOCACHE: join(cache.go, 'build'),
    GOFLAGS: '-modcacherw -buildvcs=false',
    GOTOOLCHAIN: 'local',
    GO111MODULE: 'on',
    CGO_ENABLED: '0',
  };
}

async function versionOf(go: string, cache: Cache): Promise<string | undefined> {
  const answer = await exec([go, 'env', 'GOVERSION'], { env: goEnvironment(cache), cwd: '/' }).catch(
    () => {},
  );
  return answer?.code === 0 ? answer.stdout.trim().replace(/^go/, '') : undefined;
}

export function isAtLeast(version: string, needed: string): boolean {
  const [have, need] = [version, needed].map((text) =>
    text.split('.').map((part) => Number.parseInt(part, 10)),
  );
  for (let i = 0; i < 3; i++) {
    const difference = (have?.[i] ?? 0) - (need?.[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

async function fetchToolchain(cache: Cache, root: string): Promise<void> {
  const platform = `linux-${process.arch === 'x64' ? 'amd64' : process.arch}`;
  const module = `golang.org/toolchain@v0.0.1-go${versions.go}.${platform}`;
  await mkdir(cache.go, { recursive: true });
  const answer = await execOk(['go', 'mod', 'download', '-json', module], {
    env: goEnvironment(cache),
    cwd: cache.go,
  }).catch((cause: unknown) => {
    throw new MeshError('UNSUPPORTED', `Go ${versions.go} could not be fetched`, {
      cause,
      hint: 'install Go 1.19 or newer (tools/install-deps.sh cluster) and check that Go modules can be fetched',
    });
  });
  const { Dir: directory } = JSON.parse(answer) as { readonly Dir: string };
  const temporary = `${root}.${process.pid}`;
  await cp(directory, temporary, { recursive: true });
  await makeUsable(temporary);
  await rename(temporary, root);
  await rm(directory, { recursive: true, force: true });
}

/** A module's files are not executable, and may not be called go.mod below its top. */
async function makeUsable(root: string): Promise<void> {
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && entry.name === '_go.mod') await rename(path, join(entry.parentPath, 'go.mod'));
    else if (entry.isFile() && /\/(bin|pkg\/tool\/[^/]+)$/.test(entry.parentPath)) await chmod(path, 0o755);
  }
}
