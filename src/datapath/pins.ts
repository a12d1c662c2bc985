/**
 * Our corner of the BPF file system: `maps/`, `progs/` and `links/` under one root. A pin keeps its object alive
 * without a process, which is how enforcement survives the agent. Each pin is made under `new/` and renamed into
 * place, so a name always means a complete object, and a crash leaves at worst `new/`, which the next start clears.
 */
import { mkdirSync, readdirSync, renameSync, rmdirSync, statfsSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MeshError } from '../base/errors.ts';
import type { Fd, NativeBinding } from '../native/binding.ts';
import { bpfCall, unlessMissing } from './bpf-error.ts';

export type PinKind = 'maps' | 'progs' | 'links';

export const pinKinds: readonly PinKind[] = ['links', 'progs', 'maps'];

/** BPF_FS_MAGIC of <linux/magic.h>. */
const bpffsMagic = 0xcafe4a11;

export class Pins {
  readonly root: string;
  readonly #native: Pick<NativeBinding, 'pin' | 'openPinned' | 'closeFd'>;

  constructor(native: Pick<NativeBinding, 'pin' | 'openPinned' | 'closeFd'>, root: string) {
    this.#native = native;
    this.root = root;
  }

  /** Makes the directories. @throws MeshError UNSUPPORTED if the root is not on a BPF file system. */
  prepare(): void {
    assertBpffs(dirname(this.root));
    for (const kind of pinKinds) mkdirSync(join(this.root, kind), { recursive: true, mode: 0o700 });
    this.#clearNew();
    mkdirSync(this.#staging());
  }

  /** A new descriptor, the caller's; undefined if there is no such pin. */
  open(kind: PinKind, name: string): Fd | undefined {
    const path = this.#path(kind, name);
    return bpfCall('BPF_LOAD', `opening ${path}`, () => unlessMissing(() => this.#native.openPinned(path)));
  }

  /** Calls `use` with a descriptor that is closed afterwards; undefined if there is no such pin. */
  with<T>(kind: PinKind, name: string, use: (fd: Fd) => T): T | undefined {
    const fd = this.open(kind, name);
    if (fd === undefined) return undefined;
    try {
      return use(fd);
    } finally {
      this.#native.closeFd(fd);
    }
  }

  /** Pins under `name`, in place of what was there. */
  put(kind: PinKind, name: string, fd: Fd): void {
    const staged = join(this.#staging(), name);
    bpfCall('BPF_LOAD', `pinning ${this.#path(kind, name)}`, () => {
      this.#native.pin(fd, staged);
      renameSync(staged, this.#path(kind, name));
    });
  }

  remove(kind: PinKind, name: string): void {
    unlinkIfThere(this.#path(kind, name));
  }

  /** Empty if there is no such directory. */
  list(kind: PinKind): string[] {
    return readDirectory(join(this.root, kind)).toSorted();
  }

  /** Removes every pin and directory, the root too. */
  removeAll(): void {
    for (const kind of pinKinds) {
      for (const name of this.list(kind)) this.remove(kind, name);
      removeDirectory(join(this.root, kind));
    }
    this.#clearNew();
    removeDirectory(this.root);
  }

  #path(kind: PinKind, name: string): string {
    return join(this.root, kind, name);
  }

  #staging(): string {
    return join(this.root, 'new');
  }

  #clearNew(): void {
    for (const name of readDirectory(this.#staging())) unlinkIfThere(join(this.#staging(), name));
    removeDirectory(this.#staging());
  }
}

/** The parent must exist and be a BPF file system. */
function assertBpffs(directory: string): void {
  const type = unlessMissing(() => statfsSync(directory).type);
  if (type === bpffsMagic) return;
  throw new MeshError('UNSUPPORTED', `${directory} is not on a BPF file system`, {
    hint: 'mount it: mount -t bpf bpf /sys/fs/bpf',
  });
}

const readDirectory = (path: string): string[] => unlessMissing(() => readdirSync(path)) ?? [];

const unlinkIfThere = (path: string): void => unlessMissing(() => unlinkSync(path));

const removeDirectory = (path: string): void => unlessMissing(() => rmdirSync(path));
