/**
 * A small file that somebody else may replace at any time (a mounted secret, a token, a trust bundle): read again
 * only when it changed. Asking costs one stat, so callers ask at every use instead of watching.
 */
import { readFileSync, statSync } from 'node:fs';
import { MeshError } from '../base/errors.ts';

/** No token, trust bundle or token list is larger; protects against a path that names something else. */
const maxBytes = 8 * 1024 * 1024;

export class HotFile {
  readonly path: string;
  readonly #purpose: string;
  #stamp = '';
  #text = '';

  /** `purpose` completes the sentence "cannot read the …". */
  constructor(path: string, purpose: string) {
    this.path = path;
    this.#purpose = purpose;
  }

  /** The text as it is now; equal texts are the same string. @throws MeshError UNAVAILABLE when unreadable. */
  read(): string {
    try {
      const { ino, size, mtimeMs, ctimeMs } = statSync(this.path);
      if (size > maxBytes) throw new Error(`it has ${size} bytes, more than ${maxBytes}`);
      const stamp = `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
      if (stamp !== this.#stamp) this.#text = readFileSync(this.path, 'utf8');
      this.#stamp = stamp;
      return this.#text;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new MeshError('UNAVAILABLE', `cannot read the ${this.#purpose} ${this.path}: ${reason}`, {
        cause,
        hint: 'check that the file exists and that this process may read it',
      });
    }
  }
}
