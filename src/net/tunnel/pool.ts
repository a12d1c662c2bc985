/**
 * HBONE connections shared by the streams of one pod to one peer. At most one dial per key is in flight and everybody
 * who needs it waits for it; when a connection is full, the next dial starts.
 */
import { MeshError } from '../../base/errors.ts';
import { whileWanted } from './deadline.ts';
import type { Wanted } from './ending.ts';

/** What the pool must know of a connection. */
export interface Poolable {
  /** Streams it can still take; 0 when full, draining or closed. */
  readonly available: number;
}

interface Entry<C extends Poolable> {
  readonly connections: Set<C>;
  dialing: Promise<C> | undefined;
}

export class Pool<C extends Poolable> {
  readonly #entries = new Map<string, Entry<C>>();

  /**
   * Calls `open` with a connection that has room, and in the same breath in which that was checked: of a hundred who
   * waited for one dial, each sees the room that those before it left. `reused` says that the connection had been
   * standing before, and may have died unnoticed.
   * Who no longer wants it leaves; the dial goes on for the others, and for those to come.
   * @throws what `dial` throws, to everybody who waited for that dial; what `open` throws; why it is not wanted
   */
  async use<T>(
    key: string,
    dial: () => Promise<C>,
    open: (connection: C, reused: boolean) => T | Promise<T>,
    wanted: Wanted,
  ): Promise<T> {
    const standing = this.#withRoom(key);
    if (standing !== undefined) return open(standing, true);
    for (;;) {
      const dialled = await whileWanted(this.#dialOnce(key, dial), wanted);
      const connection = dialled.available > 0 ? dialled : this.#withRoom(key);
      if (connection !== undefined) return open(connection, false);
    }
  }

  /** The connection is closed. */
  remove(key: string, connection: C): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.connections.delete(connection);
    this.#forgetIfEmpty(key, entry);
  }

  #withRoom(key: string): C | undefined {
    for (const connection of this.#entries.get(key)?.connections ?? []) {
      if (connection.available > 0) return connection;
    }
    return undefined;
  }

  #dialOnce(key: string, dial: () => Promise<C>): Promise<C> {
    const entry = this.#entries.get(key) ?? { connections: new Set<C>(), dialing: undefined };
    this.#entries.set(key, entry);
    entry.dialing ??= this.#dial(key, entry, dial);
    return entry.dialing;
  }

  async #dial(key: string, entry: Entry<C>, dial: () => Promise<C>): Promise<C> {
    try {
      const connection = await dial();
      if (connection.available === 0) {
        throw new MeshError('OVERLOADED', 'the peer’s ztunnel takes no streams on a new connection');
      }
      entry.connections.add(connection);
      return connection;
    } finally {
      entry.dialing = undefined;
      this.#forgetIfEmpty(key, entry);
    }
  }

  #forgetIfEmpty(key: string, entry: Entry<C>): void {
    if (entry.connections.size > 0 || entry.dialing !== undefined) return;
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }
}
