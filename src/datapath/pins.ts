/**
 * Our corner of the BPF file system: `maps/`, `progs/` and `links/` under one root (and `earlier/`, during an upgrade). A pin keeps its object alive
 * without a process, which is how enforcement survives the agent. Each pin is made under `new/` and renamed into
 * place, so a name always means a complete object, and a crash leaves at worst `new/`, which the next start clears.
 * A directory `untried/` says that what is in force could not be tried out.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MeshError } from '../base/errors.ts';
import type { Fd, NativeBinding } from '../native/binding.ts';
import { bpfCall, unlessMissing } from './bpf-error.ts';
import { isOnFileSystem } from './file-system.ts';

/** `earlier`: maps of programs that were in force before, until what they know has been taken over. */
export type PinKind = 'maps' | 'progs' | 'links' | 'earlier';

export const pinKinds: readonly PinKind[] = ['links', 'progs', 'maps', 'earlier'];

type PinCalls = Pick<NativeBinding, 'pin' | 'openPinned' | 'openPath' | 'tryLock' | 'closeFd'>;

export class Pins {
  readonly root: string;
  readonly #native: PinCalls;
  #lock: Fd | undefined;

  constructor(native: PinCalls, root: string) {
    this.#native = native;
    this.root = root;
  }

  /**
   * Becomes the only writer until `unlock`, or the end of the process.
   * @throws MeshError NOT_FOUND if there is no such root, ALREADY_EXISTS if there is another writer
   */
  lock(): void {
    const fd = bpfCall('BPF_LOAD', `opening ${this.root}`, () => this.#native.openPath(this.root));
    if (this.#native.tryLock(fd)) {
      this.#lock = fd;
      return;
    }
    this.#native.closeFd(fd);
    throw new MeshError('ALREADY_EXISTS', `another process is in charge of ${this.root}`, {
      hint: 'stop the other mesh-ebpf node program first',
    });
  }

  unlock(): void {
    if (this.#lock !== undefined) this.#native.closeFd(this.#lock);
    this.#lock = undefined;
  }

  /** Makes the directories and locks them. @throws MeshError UNSUPPORTED if the root is not on a BPF file system. */
  prepare(): void {
    assertBpffs(nearestExisting(dirname(this.root)));
    mkdirSync(this.root, { recursive: true, mode: 0o700 });
    this.lock();
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

  get isUntried(): boolean {
    return existsSync(this.#untried());
  }

  markUntried(yes: boolean): void {
    if (yes) mkdirSync(this.#untried(), { recursive: true, mode: 0o700 });
    else removeDirectory(this.#untried());
  }

  /** Every file and directory below the root. */
  paths(): string[] {
    return (unlessMissing(() => readdirSync(this.root, { recursive: true })) ?? []).map((name) =>
      join(this.root, String(name)),
    );
  }

  /** Removes every pin and directory, the root too. */
  removeAll(): void {
    for (const kind of pinKinds) {
      for (const name of this.list(kind)) this.remove(kind, name);
      removeDirectory(join(this.root, kind));
    }
    this.#clearNew();
    this.markUntried(false);
    removeDirectory(this.root);
  }

  #path(kind: PinKind, name: string): string {
    return join(this.root, kind, name);
  }

  #staging(): string {
    return join(this.root, 'new');
  }

  #untried(): string {
    return join(this.root, 'untried');
  }

  #clearNew(): void {
    for (const name of readDirectory(this.#staging())) unlinkIfThere(join(this.#staging(), name));
    removeDirectory(this.#staging());
  }
}

const nearestExisting = (path: string): string =>
  existsSync(path) || path === dirname(path) ? path : nearestExisting(dirname(path));

function assertBpffs(directory: string): void {
  if (isOnFileSystem('bpf', directory)) return;
  throw new MeshError('UNSUPPORTED', `${directory} is not on a BPF file system`, {
    hint: 'mount it: mount -t bpf bpf /sys/fs/bpf',
  });
}

const readDirectory = (path: string): string[] => unlessMissing(() => readdirSync(path)) ?? [];

const unlinkIfThere = (path: string): void => unlessMissing(() => unlinkSync(path));

const removeDirectory = (path: string): void => unlessMissing(() => rmdirSync(path));
