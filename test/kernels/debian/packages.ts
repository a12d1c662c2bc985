/** Debian's lists of packages: which kernel of a series is the newest. Pure. */
import { MeshError } from '../../../src/base/errors.ts';

export interface KernelPackage {
  /** `linux-image-5.10.0-46-amd64`: security updates change it. */
  readonly name: string;
  readonly version: string;
  /** Of the .deb, 64 hex digits, from the signed list. */
  readonly sha256: string;
}

/** The series' kernels as Debian configures them: not those for clouds or real time, which leave things out. */
export const isPlainKernel = (series: string, name: string): boolean =>
  name.startsWith(`linux-image-${series}.`) && /^linux-image-[\d.]+(-\d+|\+deb\d+)-amd64$/.test(name);

/** @param text what `apt-cache show` prints @throws MeshError NOT_FOUND when there is no kernel of that series */
export function newestKernel(series: string, text: string): KernelPackage {
  const [newest] = text
    .split(/\n{2,}/)
    .flatMap(parsePackage)
    .filter(({ name }) => isPlainKernel(series, name))
    .toSorted((a, b) => compareNumbers(numbersOf(b.version), numbersOf(a.version)));
  if (newest !== undefined) return newest;
  throw new MeshError('NOT_FOUND', `Debian's mirror has no kernel package of Linux ${series}`, {
    hint: 'a suite that Debian has archived is not on every mirror; MIRROR=URL names one that has it',
  });
}

function parsePackage(stanza: string): readonly KernelPackage[] {
  const [name, version, sha256] = ['Package', 'Version', 'SHA256'].map(
    (field) => new RegExp(`^${field}: (.+)$`, 'm').exec(stanza)?.[1],
  );
  if (name === undefined || version === undefined || !/^[\da-f]{64}$/.test(sha256 ?? '')) return [];
  return [{ name, version, sha256: sha256 ?? '' }];
}

const numbersOf = (version: string): readonly number[] => version.match(/\d+/g)?.map(Number) ?? [];

function compareNumbers(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((number, i) => number !== b[i]);
  return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? -1);
}
