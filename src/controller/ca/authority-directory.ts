/**
 * The authority's state on disk: one file per version, `authority-N.json` (0600) in a directory of its own (0700);
 * the highest N is in force. A version becomes visible whole, by link(2) of a finished file, and only one writer can
 * make version N+1: a crash leaves the old version, and two rotations at once cannot lose each other's root.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { TrustDomain } from '../../model/identity.ts';
import { decodeState, encodeState } from './authority-codec.ts';
import type { AuthorityState } from './authority-state.ts';
import type { AuthorityStore, StoredState } from './authority-store.ts';

const versionName = /^authority-(\d{1,9})\.json$/;
const unfinishedName = /^authority-\d{1,9}\.json\.[0-9a-f-]{36}\.tmp$/;

export class AuthorityDirectory implements AuthorityStore {
  readonly place: string;
  readonly #directory: string;
  readonly #trustDomain: TrustDomain;
  #cached: StoredState | undefined;

  constructor(directory: string, trustDomain: TrustDomain) {
    this.place = directory;
    this.#directory = directory;
    this.#trustDomain = trustDomain;
  }

  /**
   * The version in force, read again if another process wrote one; undefined if there never was one.
   * @throws MeshError CA_STATE when it is damaged, readable by others, or of another trust domain.
   */
  read(): StoredState | undefined {
    try {
      const version = this.#newest();
      if (version === 0) return undefined;
      if (this.#cached?.version !== String(version)) {
        this.#cached = { version: String(version), state: this.#load(version) };
      }
      return this.#cached;
    } catch (thrown) {
      throw this.#failure(thrown);
    }
  }

  /** Nothing to do: every `read` looks. */
  async refresh(): Promise<void> {}

  /** Durable when it returns. */
  async write(previous: string | undefined, state: AuthorityState): Promise<void> {
    const next = Number(previous ?? 0) + 1;
    try {
      this.#makeDirectory();
      this.#publish(this.#path(next), encodeState(state));
      this.#removeOthers(next);
    } catch (thrown) {
      throw this.#failure(thrown);
    }
  }

  #load(version: number): AuthorityState {
    try {
      return this.#decode(version);
    } catch (thrown) {
      const newest = this.#newest();
      if (newest === version) throw thrown;
      return this.#decode(newest); // another process replaced it while we looked
    }
  }

  #decode(version: number): AuthorityState {
    this.#checkPrivate(this.#directory);
    this.#checkPrivate(this.#path(version));
    const state = decodeState(readFileSync(this.#path(version), 'utf8'));
    if (state.trustDomain === this.#trustDomain) return state;
    throw new MeshError('CA_STATE', `${this.#directory} belongs to trust domain ${state.trustDomain}`, {
      hint: `start with trust domain ${state.trustDomain}, or give ${this.#trustDomain} a directory of its own`,
    });
  }

  #checkPrivate(path: string): void {
    const others = statSync(path).mode & 0o077;
    if (others === 0) return;
    throw new MeshError('CA_STATE', `${path} holds private keys and is open to other users`, {
      hint: `chmod go= ${path}; if somebody may have read it, rotate the root as well`,
    });
  }

  #makeDirectory(): void {
    const created = mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    if (created !== undefined) chmodSync(this.#directory, 0o700);
    this.#checkPrivate(this.#directory);
  }

  #publish(path: string, text: string): void {
    const unfinished = `${path}.${randomUUID()}.tmp`;
    try {
      writeDurably(unfinished, text);
      linkSync(unfinished, path);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
      throw new MeshError('ALREADY_EXISTS', `another process changed ${this.#directory} at the same time`, {
        hint: 'look at the authority again, and repeat the command if it is still wanted',
      });
    } finally {
      rmSync(unfinished, { force: true });
    }
    syncDirectory(this.#directory);
  }

  /** Old versions hold keys nobody needs; unfinished files are what a crash left. */
  #removeOthers(current: number): void {
    for (const name of readdirSync(this.#directory)) {
      const version = Number(versionName.exec(name)?.[1] ?? current);
      if (version < current || unfinishedName.test(name)) {
        rmSync(join(this.#directory, name), { force: true });
      }
    }
  }

  /** 0 if there is none. */
  #newest(): number {
    const names = existsSync(this.#directory) ? readdirSync(this.#directory) : [];
    return Math.max(0, ...names.map((name) => Number(versionName.exec(name)?.[1] ?? 0)));
  }

  readonly #path = (version: number): string => join(this.#directory, `authority-${version}.json`);

  #failure(thrown: unknown): MeshError {
    if (thrown instanceof MeshError) return thrown;
    const error = asMeshError(thrown, 'CA_STATE', `certificate authority in ${this.#directory}`);
    return new MeshError('CA_STATE', error.message, { cause: thrown, hint: restoreHint });
  }
}

const restoreHint =
  'restore the directory from a backup; it is never made anew by itself, because that would end trust in every certificate';

function writeDurably(path: string, text: string): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
