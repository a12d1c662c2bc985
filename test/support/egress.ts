/** NamespaceAccess objects in a few words, and the kernel's `egress` map as its program reads it. */
import { ipToBytes, type IpAddress, parsePrefix } from '../../src/base/ip.ts';
import {
  accessKey,
  type EgressRule,
  type EgressTarget,
  type NamespaceAccess,
  type PortRange,
  type Transport,
} from '../../src/model/access.ts';
import { serviceKey } from '../../src/model/mesh.ts';
import type { Egress, EgressKey } from '../../src/datapath/abi/egress-layout.ts';

/** `access('shop/locked', { egress: { default: 'deny', rules: [...] } })`. */
export function access(
  name: string,
  fields: Partial<Pick<NamespaceAccess, 'labels' | 'inbound' | 'egress'>> = {},
): NamespaceAccess {
  const [namespace = '', objectName = ''] = name.split('/');
  const nothing = { labels: {}, inbound: undefined, egress: undefined };
  return { key: accessKey(namespace, objectName), namespace, name: objectName, ...nothing, ...fields };
}

/** `rule('allow', '10.0.0.0/8 db/db * 443/tcp 53/udp')`: CIDR blocks, Services, `@NAMESPACE`, ports, `udp` for all of them. */
export function rule(action: EgressRule['action'], text: string): EgressRule {
  const words = text.split(' ').filter((word) => word !== '');
  const ports = words.filter((word) => /^([\d-]+\/)?(tcp|udp)$/.test(word));
  const targets = words.filter((word) => !ports.includes(word));
  return {
    action,
    to: targets.length === 0 ? undefined : targets.map(target),
    ports: ports.length === 0 ? undefined : ports.map(portRange),
  };
}

/** `10.0.0.0/8-10.1.0.0/16`: with an exception. */
function target(word: string): EgressTarget {
  if (word.startsWith('@')) return { type: 'namespace', namespace: word.slice(1) };
  if (/^[a-z][a-z0-9-]*\/[a-z]/.test(word)) {
    const [namespace = '', name = ''] = word.split('/');
    return { type: 'service', service: serviceKey(namespace, name) };
  }
  const [block = '', ...except] = word.split('-');
  return { type: 'cidr', prefix: parsePrefix(block), except: except.map(parsePrefix) };
}

function portRange(word: string): PortRange {
  const [, first, last, protocol] = /^(?:(\d+)(?:-(\d+))?\/)?(tcp|udp)$/.exec(word) ?? [];
  const from = Number(first ?? 0);
  return {
    protocol: protocol as Transport,
    first: from,
    last: first === undefined ? 65_535 : Number(last ?? from),
  };
}

const known = new Map<IpAddress, string>();

function bitsOf(ip: IpAddress): string {
  const bits = known.get(ip) ?? [...ipToBytes(ip)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  known.set(ip, bits);
  return bits;
}

/** A map of limited size that tells after each single write what the program would answer. */
export class KernelEgress {
  readonly #content = new Map<
    string,
    { readonly key: EgressKey; readonly value: Egress; readonly bits: string }
  >();
  readonly #capacity: number;
  /** Called after every write of one entry. */
  written: () => void = () => {};

  constructor(capacity = Number.POSITIVE_INFINITY) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#content.size;
  }

  entries(): [EgressKey, Egress][] {
    return [...this.#content.values()].map(({ key, value }) => [key, value]);
  }

  setAll(entries: readonly (readonly [EgressKey, Egress])[]): void {
    for (const [key, value] of entries) {
      if (!this.#content.has(nameOf(key)) && this.#content.size >= this.#capacity) throw this.full();
      this.#content.set(nameOf(key), { key, value, bits: bitsOf(key.base).slice(0, key.bits) });
      this.written();
    }
  }

  deleteAll(keys: readonly EgressKey[]): void {
    for (const key of keys) {
      this.#content.delete(nameOf(key));
      this.written();
    }
  }

  /** What it throws when there is no room. */
  full: () => Error = () => new Error('full');

  /** bpf/include/egress.h: the longest prefix, and no other. */
  allows(set: bigint, ip: IpAddress, port: number, protocol: Transport): boolean {
    if (set === 0n) return true;
    const bits = bitsOf(ip);
    const covering = [...this.#content.values()].filter(
      (entry) => entry.key.set === set && bits.startsWith(entry.bits),
    );
    const longest = covering.toSorted((a, b) => b.bits.length - a.bits.length)[0];
    return (
      longest?.value.open.some(
        (range) => range.protocol === protocol && range.first <= port && port <= range.last,
      ) ?? false
    );
  }
}

const nameOf = ({ set, bits, base }: EgressKey): string => `${set} ${base}/${bits}`;
