/** Compiles `fixtures/subject.bpf.c` and loads it: the BPF object that the native tests work on. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BpfObject, Fd } from '../../../src/native/binding.ts';
import { native } from './addon.ts';

const source = join(import.meta.dirname, '../fixtures/subject.bpf.c');

const architectures: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

export interface Subject {
  readonly path: string;
  /** A fresh, unloaded object. */
  open(): BpfObject;
  remove(): void;
}

/** @throws when clang-16 is missing: these tests cannot run without it. */
export function compileSubject(): Subject {
  const directory = mkdtempSync(join(tmpdir(), 'mebpf-nat-'));
  const path = join(directory, 'subject.bpf.o');
  // asm/types.h is in the multiarch directory, which clang does not search for the bpf target.
  const include = `/usr/include/${architectures[process.arch] ?? process.arch}-linux-gnu`;
  execFileSync('clang-16', ['-O2', '-g', '-target', 'bpf', `-I${include}`, '-c', source, '-o', path]);
  return {
    path,
    open: () => native.openObject(path),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Runs `body` on a loaded object, closed afterwards. */
export function withLoaded<Result>(subject: Subject, body: (object: BpfObject) => Result): Result {
  const object = subject.open();
  try {
    object.load();
    return body(object);
  } finally {
    object.close();
  }
}

/** Descriptors that are closed at the end of a test: `afterEach(() => fds.closeAll())`. */
export class FdBag {
  readonly #fds: Fd[] = [];

  keep(fd: Fd): Fd {
    this.#fds.push(fd);
    return fd;
  }

  closeAll(): void {
    for (const fd of this.#fds.splice(0)) native.closeFd(fd);
  }
}
