/**
 * The kernel inside a compressed kernel image. qemu starts it as it is (PVH), which saves the seconds in which an
 * emulated processor would unpack it.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { MeshError } from '../../../src/base/errors.ts';

/** First bytes of what Debian's kernels are packed with, and what unpacks it; of trailing bytes it complains. */
const packings = [
  { magic: Buffer.from('fd377a585a00', 'hex'), unpack: ['xz', '-dc'] },
  { magic: Buffer.from('28b52ffd', 'hex'), unpack: ['zstd', '-dcq'] },
] as const;

const elf = Buffer.from('7f454c46', 'hex');
/** More than any kernel has. */
const maxBytes = 512 * 1024 * 1024;

/** @throws MeshError UNSUPPORTED when there is none in it */
export async function extractVmlinux(image: string, to: string): Promise<void> {
  const bytes = await readFile(image);
  for (const { magic, unpack } of packings) {
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) {
      const [program, ...args] = unpack;
      const { stdout } = spawnSync(program, args, { input: bytes.subarray(at), maxBuffer: maxBytes });
      if (stdout?.subarray(0, elf.length).equals(elf)) return await writeFile(to, stdout);
    }
  }
  throw new MeshError('UNSUPPORTED', `${image} is packed in a way that is not known`);
}
