/**
 * Finds and loads the native addon: the only file that touches a `.node`. It is looked for next to the bundle
 * (`dist/`), then where `make native` leaves it, seen from the bundle and from the sources. Called by the
 * composition roots and by tests; everyone else is given a `NativeBinding`.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MeshError } from '../base/errors.ts';
import type { NativeBinding } from './binding.ts';

const built = 'native/build/Release/mesh_ebpf.node';
const candidates = ['./mesh_ebpf.node', `../${built}`, `../../${built}`].map((relative) =>
  fileURLToPath(new URL(relative, import.meta.url)),
);

/** @throws MeshError UNSUPPORTED when the addon is not built, or does not load on this host. */
export function loadNative(paths: readonly string[] = candidates): NativeBinding {
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new MeshError('UNSUPPORTED', `the native addon is not built (looked for ${paths.join(', ')})`, {
      hint: 'run: make native',
    });
  }
  try {
    return createRequire(import.meta.url)(path) as NativeBinding;
  } catch (cause) {
    throw new MeshError('UNSUPPORTED', `the native addon ${path} does not load: ${String(cause)}`, {
      hint: 'it needs libbpf 1.1 or newer (Debian: apt-get install libbpf1) and the Node it was built for; then run: make native',
      cause,
    });
  }
}
