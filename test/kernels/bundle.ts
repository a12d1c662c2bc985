/**
 * The test files, each as one file for Node's test runner: an emulated kernel starts that in two seconds, and jest with
 * its module graph in minutes. The guest has the host's files at the same paths, so a file still finds what it names
 * relative to its source.
 */
import { build, type Plugin } from 'esbuild';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { TestFile } from './steps.ts';

const jestGlobals = join(import.meta.dirname, 'guest', 'jest-globals.ts');

/** Where a file is from, not where its bundle is. */
const sourcePlaces: Plugin = {
  name: 'source-places',
  setup(bundling) {
    bundling.onLoad({ filter: /\/(src|test)\/.*\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const contents = text
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path)))
        .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)));
      return { loader: 'ts', contents };
    });
  },
};

export async function bundleTests(root: string, files: readonly TestFile[], to: string): Promise<void> {
  await build({
    entryPoints: files.map(({ name, path }) => ({ in: join(root, path), out: name })),
    outdir: to,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    alias: { '@jest/globals': jestGlobals },
    plugins: [sourcePlaces],
    logLevel: 'warning',
    banner: {
      // CommonJS dependencies inside an ESM bundle look for these.
      js:
        "import { createRequire as bundleRequire } from 'node:module';\n" +
        'const require = bundleRequire(import.meta.url), __dirname = import.meta.dirname;',
    },
  });
}
