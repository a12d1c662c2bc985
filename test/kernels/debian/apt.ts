/**
 * Packages of other Debian releases than this one, from the mirror this machine is configured for, with package lists of
 * their own: the system's are not touched, and nothing is installed. apt checks the lists' signatures and every
 * package's checksum by Debian's own keys.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import { exec, execOk } from '../../cluster/machine/exec.ts';
import type { Kernel } from '../kernels.ts';
import { isPlainKernel, type KernelPackage, newestKernel } from './packages.ts';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

export interface PackageLists {
  readonly directory: string;
  readonly options: readonly string[];
}

/** @throws MeshError UNAVAILABLE when the mirror does not answer or its lists are not signed by Debian */
export async function fetchLists({ series, suites }: Kernel, directory: string): Promise<PackageLists> {
  const sources = join(directory, 'sources.list');
  const options = [
    `Dir::State=${directory}`,
    'Dir::State::status=/dev/null',
    `Dir::Cache=${join(directory, 'cache')}`,
    `Dir::Etc::sourcelist=${sources}`,
    'Dir::Etc::sourceparts=/dev/null',
    // The user apt would become may not write where we do.
    'APT::Sandbox::User=root',
    'Acquire::Languages=none',
  ].flatMap((option) => ['-o', option]);
  for (const sub of ['lists/partial', 'cache/archives/partial']) {
    await mkdir(join(directory, sub), { recursive: true });
  }
  const mirrors = await configuredMirrors();
  await writeFile(sources, suites.map((suite) => sourceLine(mirrors, suite)).join(''));
  await execOk(['apt-get', '-qq', ...options, '--error-on=any', 'update']).catch((cause: unknown) => {
    throw new MeshError('UNAVAILABLE', `the package lists for Linux ${series} could not be fetched`, {
      cause,
      hint: `is ${suites.join(', ')} on the mirror? MIRROR=URL names another one`,
    });
  });
  return { directory, options };
}

interface Mirrors {
  readonly main: string;
  readonly security: string;
}

/** MIRROR says where; otherwise apt's own configuration does. */
async function configuredMirrors(): Promise<Mirrors> {
  const given = process.env['MIRROR'];
  const listed = await exec(['apt-get', 'indextargets', '--format', '$(REPO_URI) $(RELEASE)']);
  const found = listed.stdout.split('\n').map((line) => line.split(' '));
  const uri = (wanted: RegExp): string | undefined =>
    found.find(([, release = '']) => wanted.test(release))?.[0];
  const main = withSlash(given ?? uri(/^[a-z]+$/) ?? 'http://deb.debian.org/debian/');
  const security = given === undefined ? uri(/-security$/) : undefined;
  return { main, security: withSlash(security ?? main.replace(/debian\/$/, 'debian-security/')) };
}

const withSlash = (uri: string): string => (uri.endsWith('/') ? uri : `${uri}/`);

/** Lists of a release that is no longer updated are past their date, and right. */
const sourceLine = ({ main, security }: Mirrors, suite: string): string =>
  `deb [signed-by=${keyring} check-valid-until=no] ${suite.endsWith('-security') ? security : main} ${suite} main\n`;

export async function findKernel({ series }: Kernel, { options }: PackageLists): Promise<KernelPackage> {
  const names = await execOk(['apt-cache', ...options, 'pkgnames', `linux-image-${series}.`]);
  const plain = names.split('\n').filter((name) => isPlainKernel(series, name));
  if (plain.length === 0) return newestKernel(series, '');
  return newestKernel(series, await execOk(['apt-cache', ...options, 'show', ...plain]));
}

/** Resolves to the path of the .deb. @throws MeshError SYSCALL, also when the checksum is not that of the list */
export async function downloadPackage(
  { name, version }: KernelPackage,
  { directory, options }: PackageLists,
): Promise<string> {
  await execOk(['apt-get', '-qq', ...options, 'download', `${name}=${version}`], { cwd: directory });
  const file = (await readdir(directory)).find((entry) => entry.endsWith('.deb'));
  if (file === undefined) throw new MeshError('SYSCALL', `apt has downloaded no file for ${name}`);
  return join(directory, file);
}
