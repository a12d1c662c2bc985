/**
 * IP addresses and prefixes. Parsing is Node's own strict parser (`net.isIP`): no octal, no short forms, no zone,
 * so `010.0.0.1` is an error and not another address. On the wire to BPF every address is 16 bytes, IPv4 as
 * `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2), so one map serves both families.
 */
import { isIP, SocketAddress as NodeSocketAddress } from 'node:net';
import type { Brand } from './brand.ts';
import { MeshError } from './errors.ts';

/** Canonical text of an address: dotted quad, or RFC 5952 IPv6. IPv4-mapped IPv6 is always held as IPv4. */
export type IpAddress = Brand<string, 'IpAddress'>;

/** TCP port, 1 to 65535. */
export type Port = Brand<number, 'Port'>;

export interface SocketAddress {
  readonly ip: IpAddress;
  readonly port: Port;
}

export interface IpPrefix {
  readonly base: IpAddress;
  /** Bits of `base` that count: 0 to 32 for IPv4, 0 to 128 for IPv6. */
  readonly length: number;
}

/** By its form, which was checked when it became an `IpAddress`: asked a dozen times for each connection. */
export const isIpv4 = (ip: IpAddress): boolean => !ip.includes(':');

/** @throws MeshError INVALID_ARGUMENT unless `text` is one complete IPv4 or IPv6 address. */
export function parseIp(text: string): IpAddress {
  const ip = tryParseIp(text);
  if (ip === undefined) throw new MeshError('INVALID_ARGUMENT', `"${text}" is not an IP address`);
  return ip;
}

export function tryParseIp(text: string): IpAddress | undefined {
  const family = isIP(text);
  if (family === 4) return text as IpAddress;
  if (family !== 6 || text.includes('%')) return undefined;
  const canonical = new NodeSocketAddress({ address: text, family: 'ipv6' }).address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(canonical)?.[1];
  return (mapped ?? canonical) as IpAddress;
}

/** @throws MeshError INVALID_ARGUMENT unless `value` is an integer from 1 to 65535. */
export function parsePort(value: number | string): Port {
  const port = typeof value === 'number' ? value : /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new MeshError('INVALID_ARGUMENT', `"${value}" is not a TCP port (1-65535)`);
  }
  return port as Port;
}

/** Parses `1.2.3.4:80` or `[2001:db8::1]:80`, the form of an HTTP/2 `:authority`. */
export function parseSocketAddress(text: string): SocketAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || match?.[3] === undefined || (match[1] !== undefined && isIP(host) !== 6)) {
    throw new MeshError('INVALID_ARGUMENT', `"${text}" is not an address with a port`);
  }
  return { ip: parseIp(host), port: parsePort(match[3]) };
}

export function formatSocketAddress(address: SocketAddress): string {
  return isIpv4(address.ip) ? `${address.ip}:${address.port}` : `[${address.ip}]:${address.port}`;
}

/** An IPv4 address as a number of 32 bits, which may be negative. */
export function ipv4Word(ip: IpAddress): number {
  let [word, octet] = [0, 0];
  for (let i = 0; i < ip.length; i++) {
    const digit = ip.charCodeAt(i) - zero;
    if (digit >= 0) octet = octet * 10 + digit;
    else [word, octet] = [(word << 8) | octet, 0];
  }
  return (word << 8) | octet;
}

/** The digit; the dot comes before it. */
const zero = 0x30;

/** Texts of late, each at the place its word leads to: a node meets few addresses, and each of them often. */
const recentCount = 1024;
const recentWords = new Int32Array(recentCount);
const recentTexts = Array.from<IpAddress | undefined>({ length: recentCount });

export function ipv4FromWord(word: number): IpAddress {
  const place = (word ^ (word >>> 10) ^ (word >>> 20)) & (recentCount - 1);
  const known = recentTexts[place];
  if (known !== undefined && recentWords[place] === (word | 0)) return known;
  const text = `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}` as IpAddress;
  recentWords[place] = word;
  recentTexts[place] = text;
  return text;
}

/** 16 bytes in network order, IPv4 as IPv4-mapped: the form of every address in a BPF map. */
export function ipToBytes(ip: IpAddress): Uint8Array {
  const bytes = new Uint8Array(16);
  if (isIpv4(ip)) {
    bytes[10] = bytes[11] = 0xff;
    bytes.set(ip.split('.').map(Number), 12);
    return bytes;
  }
  const [head = '', tail] = ip.split('::');
  const front = hextetsOf(head);
  const back = tail === undefined ? [] : hextetsOf(tail);
  const all = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back];
  all.forEach((group, i) => {
    bytes[i * 2] = group >> 8;
    bytes[i * 2 + 1] = group & 0xff;
  });
  return bytes;
}

const hextetsOf = (half: string): number[] => (half === '' ? [] : half.split(':').flatMap(hextets));

/** One colon-separated piece as 16-bit groups: two for a trailing dotted quad (`::1.2.3.4`), else one. */
function hextets(piece: string): number[] {
  if (!piece.includes('.')) return [Number.parseInt(piece, 16)];
  const [a = 0, b = 0, c = 0, d = 0] = piece.split('.').map(Number);
  return [(a << 8) | b, (c << 8) | d];
}

/** The reverse of `ipToBytes`; `bytes` must hold 16 bytes at `offset`. */
export function ipFromBytes(bytes: Uint8Array, offset = 0): IpAddress {
  const at = (i: number): number => bytes[offset + i] ?? 0;
  const mapped =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].every((i) => at(i) === 0) && at(10) === 0xff && at(11) === 0xff;
  if (mapped) return [12, 13, 14, 15].map(at).join('.') as IpAddress;
  const groups = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => ((at(i * 2) << 8) | at(i * 2 + 1)).toString(16));
  return parseIp(groups.join(':'));
}

/** Parses `10.0.0.0/8`, `fd00::/8`, or a bare address as its full-length prefix. */
export function parsePrefix(text: string): IpPrefix {
  const [ip = '', bits, ...rest] = text.split('/');
  const base = parseIp(ip);
  const width = isIpv4(base) ? 32 : 128;
  const length = bits === undefined ? width : /^(0|[1-9]\d{0,2})$/.test(bits) ? Number(bits) : Number.NaN;
  if (rest.length > 0 || !(length >= 0 && length <= width)) {
    throw new MeshError('INVALID_ARGUMENT', `"${text}" is not an IP prefix`);
  }
  return { base, length };
}

export const formatPrefix = ({ base, length }: IpPrefix): string => `${base}/${length}`;

export function prefixContains(prefix: IpPrefix, ip: IpAddress): boolean {
  if (isIpv4(prefix.base) !== isIpv4(ip)) return false;
  const bits = isIpv4(ip) ? prefix.length + 96 : prefix.length;
  const a = ipToBytes(prefix.base);
  const b = ipToBytes(ip);
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const mask = (0xff00 >> (bits & 7)) & 0xff;
  return ((a[whole] ?? 0) & mask) === ((b[whole] ?? 0) & mask);
}

const loopback = ['127.0.0.0/8', '::1'].map(parsePrefix);

export const isLoopback = (ip: IpAddress): boolean => loopback.some((prefix) => prefixContains(prefix, ip));
