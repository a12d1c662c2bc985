/** Who wants to know when the peer at an address leaves: dials, tunnels, and connections that wait for one. */
import type { IpAddress } from '../../base/ip.ts';
import type { Departure } from '../engine.ts';

type Listener = (departure: Departure) => void;

export class Departures {
  readonly #listeners = new Map<IpAddress, Set<Listener>>();

  /** Returns the cancellation, which must be called: nothing else forgets the listener. */
  listen(ip: IpAddress, listener: Listener): () => void {
    const listeners = this.#listeners.get(ip) ?? new Set();
    this.#listeners.set(ip, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(ip) === listeners) this.#listeners.delete(ip);
    };
  }

  /** Those who begin to listen because of it are not told. */
  tell(ip: IpAddress, departure: Departure): void {
    const listeners = Array.from(this.#listeners.get(ip) ?? []);
    for (const listener of listeners) listener(departure);
  }
}
