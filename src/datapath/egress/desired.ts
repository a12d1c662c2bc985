/**
 * The wanted contents of the `egress` map as a pure function of rules and mesh. The kernel asks for the longest prefix
 * that covers an address, and no other, so each entry has to say all there is to say of it: every prefix that some rule
 * names becomes an entry, with the rules that hold for the addresses it is the longest for. A prefix's rules are its
 * parent's, more what begins there, less what is excepted there.
 */
import { type IpAddress, ipFromBytes, ipToBytes, type IpPrefix, isIpv4 } from '../../base/ip.ts';
import type { EgressTarget, PortRange } from '../../model/access.ts';
import type { MeshView } from '../../model/view.ts';
import { targetAddresses } from '../../policy/egress-targets.ts';
import type { EgressRules, PlacedRule } from '../../policy/egress-rules.ts';
import { openPorts } from './port-ranges.ts';

export interface EgressEntry {
  /** Of the base, in the 128 bits that every address has in a map. */
  readonly bits: number;
  readonly base: IpAddress;
  readonly open: readonly PortRange[];
}

const mappedBits = 96;

/** Of each family parents before children, beginning with the entry that covers all of it. */
export function egressEntries(rules: EgressRules, view: MeshView): readonly EgressEntry[] {
  const boundaries = new Boundaries();
  rules.rules.forEach((rule, i) => mark(boundaries, rule, i, view));
  return boundaries.families().flatMap((family) => entriesOf(family, rules));
}

function entriesOf(family: readonly Boundary[], { deniedBy, rules }: EgressRules): readonly EgressEntry[] {
  const path: { readonly boundary: Boundary; readonly active: ReadonlySet<Claim> }[] = [];
  return family.map((boundary) => {
    while (path.length > 0 && !covers(path.at(-1)?.boundary, boundary)) path.pop();
    const active = new Set([...(path.at(-1)?.active ?? []), ...boundary.begin]);
    for (const claim of boundary.end) active.delete(claim);
    path.push({ boundary, active });
    const holding = [...new Set([...active].map(({ rule }) => rule))].flatMap((i) => rules[i] ?? []);
    return { bits: boundary.bits, base: boundary.base, open: openPorts(deniedBy === undefined, holding) };
  });
}

/** One target of one rule: what holds within a prefix until an exception ends it. */
interface Claim {
  readonly rule: number;
}

function mark(boundaries: Boundaries, { to }: PlacedRule, rule: number, view: MeshView): void {
  if (to === undefined) {
    const everywhere: Claim = { rule };
    for (const prefix of wholeFamilies) boundaries.at(prefix).begin.push(everywhere);
    return;
  }
  for (const target of to) markTarget(boundaries, target, { rule }, view);
}

function markTarget(boundaries: Boundaries, target: EgressTarget, claim: Claim, view: MeshView): void {
  if (target.type === 'cidr') {
    boundaries.at(target.prefix).begin.push(claim);
    for (const prefix of target.except) boundaries.at(prefix).end.push(claim);
    return;
  }
  for (const ip of targetAddresses(view, target)) {
    boundaries.at({ base: ip, length: isIpv4(ip) ? 32 : 128 }).begin.push(claim);
  }
}

interface Boundary {
  readonly base: IpAddress;
  readonly bits: number;
  /** The base as a number of 128 bits. */
  readonly value: bigint;
  readonly begin: Claim[];
  readonly end: Claim[];
}

const wholeFamilies: readonly IpPrefix[] = ['0.0.0.0', '::'].map((base) => ({
  base: base as IpAddress,
  length: 0,
}));

class Boundaries {
  readonly #byKey = new Map<string, Boundary>();

  constructor() {
    for (const prefix of wholeFamilies) this.at(prefix);
  }

  at({ base, length }: IpPrefix): Boundary {
    const bits = isIpv4(base) ? length + mappedBits : length;
    const value = masked(valueOf(base), bits);
    const key = `${value}/${bits}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const made = { base: addressOf(value), bits, value, begin: [], end: [] };
    this.#byKey.set(key, made);
    return made;
  }

  /** IPv4's and IPv6's, each prefix after those that cover it, and before what comes behind it. */
  families(): readonly (readonly Boundary[])[] {
    const sorted = [...this.#byKey.values()].toSorted((a, b) =>
      a.value === b.value ? a.bits - b.bits : a.value < b.value ? -1 : 1,
    );
    return [sorted.filter(isMapped), sorted.filter((boundary) => !isMapped(boundary))];
  }
}

const covers = (outer: Boundary | undefined, inner: Boundary): boolean =>
  outer !== undefined && outer.bits <= inner.bits && masked(inner.value, outer.bits) === outer.value;

/** `::/0` covers no IPv4 address, though it would in 128 bits: the entry for all of IPv4 is longer. */
const isMapped = ({ value, bits }: Boundary): boolean => bits >= mappedBits && value >> 32n === 0xffffn;

const masked = (value: bigint, bits: number): bigint => (value >> BigInt(128 - bits)) << BigInt(128 - bits);

const valueOf = (ip: IpAddress): bigint => BigInt(`0x${Buffer.from(ipToBytes(ip)).toString('hex')}`);

const addressOf = (value: bigint): IpAddress =>
  ipFromBytes(Buffer.from(value.toString(16).padStart(32, '0'), 'hex'));
