/**
 * Addresses as numbers, for fast comparison: 128 bits as four words, IPv4 in the last one. A prefix never contains an
 * address of the other family, so `::/0` is all of IPv6 and nothing of IPv4.
 */
import { type IpAddress, type IpPrefix, ipToBytes, ipv4Word, isIpv4 } from '../base/ip.ts';

export interface AddressWords {
  readonly family: 4 | 6;
  readonly words: readonly [number, number, number, number];
}

export function addressWords(ip: IpAddress): AddressWords {
  if (isIpv4(ip)) return { family: 4, words: [0, 0, 0, ipv4Word(ip)] };
  const view = new DataView(ipToBytes(ip).buffer);
  return { family: 6, words: [view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12)] };
}

/** A prefix ready to be compared. */
export interface PrefixWords {
  readonly family: 4 | 6;
  /** Bits that count, of 128: an IPv4 prefix has 96 more than it is written with. */
  readonly bits: number;
  /** What is beyond the length is zero. */
  readonly words: AddressWords['words'];
}

export function prefixWords({ base, length }: IpPrefix): PrefixWords {
  const { family, words } = addressWords(base);
  const bits = family === 4 ? length + 96 : length;
  return { family, bits, words: masked(words, bits) };
}

export function containsAddress({ family, bits, words }: PrefixWords, address: AddressWords): boolean {
  const [a, b, c, d] = masked(address.words, bits);
  const isSame = a === words[0] && b === words[1] && c === words[2] && d === words[3];
  return isSame && family === address.family;
}

/** Equal for an address and a prefix exactly if the prefix of so many bits contains the address. */
export function prefixKey({ family, words }: Pick<AddressWords, 'family' | 'words'>, bits: number): string {
  const [a, b, c, d] = masked(words, bits);
  return family === 4 ? `4:${d}` : `6:${a}:${b}:${c}:${d}`;
}

const masked = (words: AddressWords['words'], bits: number): AddressWords['words'] => [
  words[0] & wordMask(bits, 0),
  words[1] & wordMask(bits, 1),
  words[2] & wordMask(bits, 2),
  words[3] & wordMask(bits, 3),
];

/** The mask of the `index`th word for a prefix of `bits`. */
function wordMask(bits: number, index: number): number {
  const own = bits - index * 32;
  if (own >= 32) return -1;
  return own <= 0 ? 0 : -1 << (32 - own);
}
