/**
 * Decodes HPACK's Huffman code (RFC 7541 §5.2). The code is canonical, so Appendix B follows from the code lengths
 * alone. Decoding goes by half bytes through a transition table: no code is shorter than 5 bits, so half a byte
 * completes one symbol at most. We never encode with it: our header fields are few and short.
 */
import { H2Violation, errorCode } from '../errors.ts';

/** Code length in bits of the symbols 0 to 255 and of EOS (256), as base-36 digits. */
const codeLengths =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq' +
  'u';
const endOfString = 256;

/** A node's two children: the index of another node, or `~symbol`. Node 0 is the root. */
type Node = [zero: number, one: number];

/** Canonical codes: ordered by length, then symbol, each the one before plus 1, shifted to its own length. */
function buildTree(): Node[] {
  const length = codeLengths.split('').map((digit) => Number.parseInt(digit, 36));
  const symbols = length
    .map((_, symbol) => symbol)
    .toSorted((a, b) => at(length, a) - at(length, b) || a - b);
  const tree: Node[] = [[0, 0]];
  let code = -1;
  let bits = at(length, at(symbols, 0));
  for (const symbol of symbols) {
    code = (code + 1) << (at(length, symbol) - bits);
    bits = at(length, symbol);
    insert(tree, code, bits, symbol);
  }
  return tree;
}

function insert(tree: Node[], code: number, bits: number, symbol: number): void {
  let node = 0;
  for (let bit = bits - 1; bit > 0; bit--) node = childNode(tree, node, ((code >> bit) & 1) as 0 | 1);
  at(tree, node)[(code & 1) as 0 | 1] = ~symbol;
}

function childNode(tree: Node[], node: number, bit: 0 | 1): number {
  const parent = at(tree, node);
  if (parent[bit] === 0) parent[bit] = tree.push([0, 0]) - 1;
  return parent[bit];
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new RangeError(`no item ${index}`);
  return item;
}

// A transition, indexed by node * 16 + half byte: the next node in bits 0-8, and perhaps a completed symbol in 9-16.
const nodeMask = 0x1ff;
const symbolShift = 9;
const hasSymbol = 1 << 17;
const failed = 1 << 18;

function buildTransitions(tree: readonly Node[]): Uint32Array {
  const table = new Uint32Array(tree.length * 16);
  for (let i = 0; i < table.length; i++) table[i] = walk(tree, i >> 4, i & 15);
  return table;
}

function walk(tree: readonly Node[], from: number, half: number): number {
  let node = from;
  let symbol = 0;
  for (let bit = 3; bit >= 0; bit--) {
    node = at(tree, node)[((half >> bit) & 1) as 0 | 1];
    if (node >= 0) continue;
    if (~node === endOfString) return failed;
    symbol = hasSymbol | (~node << symbolShift);
    node = 0;
  }
  return node | symbol;
}

/** Nodes where a string may end: the root, and up to 7 one-bits of padding below it. */
function buildFinalNodes(tree: readonly Node[]): ReadonlySet<number> {
  const final = new Set<number>();
  for (let node = 0, bits = 0; bits <= 7; bits++, node = at(tree, node)[1]) final.add(node);
  return final;
}

const tree = buildTree();
const transitions = buildTransitions(tree);
const finalNodes = buildFinalNodes(tree);

/** @throws H2Violation COMPRESSION_ERROR for EOS in the text, or padding that is too long or not all ones. */
export function huffmanDecode(bytes: Uint8Array): string {
  const out = Buffer.allocUnsafe(Math.floor((bytes.length * 8) / 5));
  let length = 0;
  let node = 0;
  for (const byte of bytes) {
    for (const half of [byte >> 4, byte & 15]) {
      const next = transitions[(node << 4) | half] ?? failed;
      if ((next & failed) !== 0) throw failure('EOS in a string');
      if ((next & hasSymbol) !== 0) out[length++] = (next >> symbolShift) & 0xff;
      node = next & nodeMask;
    }
  }
  if (!finalNodes.has(node)) throw failure('bad padding');
  return out.toString('latin1', 0, length);
}

const failure = (reason: string): H2Violation =>
  new H2Violation(errorCode.compressionError, `Huffman code: ${reason}`);
