/** How far two versions of mesh-ebpf may be apart before their documents may differ. */

/** More than one minor version, or another major one. What is no version cannot be compared. */
export function isSkewed(own: string, other: string): boolean {
  const [ours, theirs] = [parse(own), parse(other)];
  if (ours === undefined || theirs === undefined) return own !== other;
  return ours.major !== theirs.major || Math.abs(ours.minor - theirs.minor) > 1;
}

function parse(version: string): { readonly major: number; readonly minor: number } | undefined {
  const [, major, minor] = /^v?(\d+)\.(\d+)\./.exec(version) ?? [];
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}
