/** PINGs of ours that are under way (RFC 9113 §6.7), and what each was for. */
export type PingPurpose = 'keepalive' | 'drain';

export class Pings {
  readonly #pending: { readonly opaque: Buffer; readonly purpose: PingPurpose }[] = [];
  #count = 0;

  /** Eight bytes that tell this PING from the others. */
  start(purpose: PingPurpose): Uint8Array {
    const opaque = Buffer.alloc(8);
    opaque.writeUInt32BE(++this.#count >>> 0, 4);
    this.#pending.push({ opaque, purpose });
    return opaque;
  }

  /** What the answered PING was for; undefined when the answer matches none, or one out of order. */
  finish(opaque: Uint8Array): PingPurpose | undefined {
    const [oldest] = this.#pending;
    if (oldest?.opaque.equals(opaque) !== true) return undefined;
    this.#pending.shift();
    return oldest.purpose;
  }
}
