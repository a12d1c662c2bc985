/**
 * The keeper (`native/keeper/`), seen from the worker: a parent process that outlives this one and holds descriptors
 * for it, by name. The next worker inherits them, so that connections wait in the listen queues while there is no
 * worker, and certificates need not be asked for again. Without a keeper nothing is held and all goes on.
 */
import { fstatSync, readSync } from 'node:fs';
import { MeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Fd, NativeBinding } from './binding.ts';

export interface Keeper {
  /** How many workers of this keeper ended before this one and should not have. */
  readonly restarts: number;
  /** What an earlier worker left under this name, once; the caller's to close. The keeper goes on holding it. */
  take(name: string): Fd | undefined;
  /** From now on also the keeper's, in place of what it has of that name; `fd` stays the caller's. Best effort. */
  hold(name: string, fd: Fd): void;
  /** The keeper closes what has a name that begins with this; what an earlier worker left and nobody took is closed. */
  drop(prefix: string): void;
  /** This worker serves. What nobody took by now belongs to nobody and is dropped. Returns how many those were. */
  ready(): number;
}

/** For a process that nobody outlives. */
export const noKeeper: Keeper = { restarts: 0, take: () => undefined, hold() {}, drop() {}, ready: () => 0 };

type Native = Pick<NativeBinding, 'adoptFd' | 'sendMessage' | 'closeFd'>;

export interface KeeperDeps {
  readonly native: Native;
  readonly log: Logger;
}

/**
 * @param place value of MESH_EBPF_KEEPER, which the keeper sets: descriptors of the channel and of the table, restarts
 * @throws MeshError INVALID_ARGUMENT if it does not come from a keeper
 */
export function connectKeeper({ native, log }: KeeperDeps, place: string | undefined): Keeper {
  if (place === undefined) return noKeeper;
  const [channel, table, restarts] = /^\d+ \d+ \d+$/.test(place) ? place.split(' ').map(Number) : [];
  if (channel === undefined || table === undefined || restarts === undefined) {
    throw new MeshError('INVALID_ARGUMENT', `MESH_EBPF_KEEPER is "${place}", which no keeper has set`, {
      hint: 'unset it, or start the node program with mesh-ebpf-keeper',
    });
  }
  const list = native.adoptFd(table);
  const inherited = new Map(
    parseTable(readMemory(list).toString('latin1')).map(([name, fd]) => [name, native.adoptFd(fd)]),
  );
  native.closeFd(list);
  return new ConnectedKeeper({ native, log, channel: native.adoptFd(channel), inherited, restarts });
}

/** Lines `DESCRIPTOR NAME`. */
export const parseTable = (text: string): readonly (readonly [name: string, fd: number])[] =>
  text.split('\n').flatMap((line) => {
    const [, fd, name] = /^(\d+) (\S+)$/.exec(line) ?? [];
    return fd === undefined || name === undefined ? [] : [[name, Number(fd)] as const];
  });

/** Everything in a file or memory, wherever its position is, which belongs to all who share it. */
export function readMemory(fd: Fd): Buffer {
  const bytes = Buffer.alloc(fstatSync(fd).size);
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
}

interface Connection {
  readonly native: Native;
  readonly log: Logger;
  readonly channel: Fd;
  readonly inherited: Map<string, Fd>;
  readonly restarts: number;
}

class ConnectedKeeper implements Keeper {
  readonly restarts: number;
  readonly #native: Native;
  readonly #log: Logger;
  readonly #channel: Fd;
  /** Left by an earlier worker and not taken yet. */
  readonly #inherited: Map<string, Fd>;
  /** Everything the keeper has. */
  readonly #names: Set<string>;

  constructor({ native, log, channel, inherited, restarts }: Connection) {
    this.restarts = restarts;
    this.#native = native;
    this.#log = log;
    this.#channel = channel;
    this.#inherited = inherited;
    this.#names = new Set(inherited.keys());
  }

  take(name: string): Fd | undefined {
    const fd = this.#inherited.get(name);
    this.#inherited.delete(name);
    return fd;
  }

  hold(name: string, fd: Fd): void {
    if (this.#say(`hold ${name}`, fd)) this.#names.add(name);
  }

  drop(prefix: string): void {
    for (const name of this.#names) if (name.startsWith(prefix)) this.#drop(name);
  }

  ready(): number {
    const leftovers = [...this.#inherited.keys()];
    for (const name of leftovers) this.#drop(name);
    this.#say('ready', null);
    return leftovers.length;
  }

  #drop(name: string): void {
    const left = this.take(name);
    if (left !== undefined) this.#native.closeFd(left);
    this.#names.delete(name);
    this.#say(`drop ${name}`, null);
  }

  /** What cannot be said costs no more than what a process without a keeper has. */
  #say(text: string, fd: Fd | null): boolean {
    try {
      this.#native.sendMessage(this.#channel, text, fd);
      return true;
    } catch (error) {
      this.#log.warn({ error, text }, 'the keeper does not listen: a restart will interrupt connections');
      return false;
    }
  }
}
