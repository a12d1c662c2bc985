// Turns TypeScript into the ESM that jest runs. Types are checked by `npm run typecheck`, not here.
import { transformSync } from 'esbuild';
import { createHash } from 'node:crypto';

export default {
  process(source, path) {
    const { code, map } = transformSync(source, {
      loader: 'ts',
      format: 'esm',
      target: 'es2024',
      sourcefile: path,
      sourcemap: true,
    });
    return { code, map };
  },
  getCacheKey(source, path) {
    return createHash('sha1').update(path).update('\0').update(source).digest('hex');
  },
};
