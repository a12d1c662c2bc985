/** Where the keeper's program is: next to the bundle, or where `make native` leaves it. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MeshError } from '../base/errors.ts';

const built = 'build/keeper/mesh-ebpf-keeper';
const candidates = ['./mesh-ebpf-keeper', `../${built}`, `../../${built}`].map((relative) =>
  fileURLToPath(new URL(relative, import.meta.url)),
);

/** @throws MeshError UNSUPPORTED when it is not built */
export function findKeeperProgram(): string {
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path !== undefined) return path;
  throw new MeshError('UNSUPPORTED', `the keeper is not built (looked for ${candidates.join(', ')})`, {
    hint: 'run: make native',
  });
}
