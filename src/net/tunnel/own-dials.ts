/**
 * The engine's own connections to applications of a pod, by pod and address pair. Should the kernel's record of one
 * be missing, the connection would come back in on the plaintext port of the same pod and be dialled again, for ever:
 * an accept that is found here is ours and must be dropped.
 */
import type { SocketAddress } from '../../base/ip.ts';
import type { WorkloadUid } from '../../model/mesh.ts';

export class OwnDials {
  readonly #live = new Set<string>();

  /** Returns the removal, for when the socket is closed. */
  add(pod: WorkloadUid, from: SocketAddress, to: SocketAddress): () => void {
    const key = keyOf(pod, from, to);
    this.#live.add(key);
    return () => this.#live.delete(key);
  }

  has(pod: WorkloadUid, from: SocketAddress, to: SocketAddress): boolean {
    return this.#live.has(keyOf(pod, from, to));
  }
}

/** Joined, because a template would be kept as a tree of its parts, at three times the memory. */
const keyOf = (pod: WorkloadUid, from: SocketAddress, to: SocketAddress): string =>
  [pod, from.ip, from.port, to.ip, to.port].join(' ');
