/**
 * Tells work that it is no longer wanted. What `AbortController` is for, at a tenth of its cost: every connection has
 * some of these, and event targets are made for few.
 */
import type { MeshError } from '../../base/errors.ts';

type Listener = (reason: MeshError) => void;

/** As whoever does the work sees it. */
export interface Wanted {
  /** Why it is not wanted any more; undefined: it is. */
  readonly endedBy: MeshError | undefined;
  /** Called once when it ends; never if it has ended already. */
  listen(listener: Listener): void;
  forget(listener: Listener): void;
}

export class Ending implements Wanted {
  #reason: MeshError | undefined;
  readonly #listeners: Listener[] = [];

  get endedBy(): MeshError | undefined {
    return this.#reason;
  }

  /** The first reason counts. */
  end(reason: MeshError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    // One by one, as what ends first may forget those after it.
    for (let next = this.#listeners.shift(); next !== undefined; next = this.#listeners.shift()) next(reason);
  }

  listen(listener: Listener): void {
    if (this.#reason === undefined) this.#listeners.push(listener);
  }

  forget(listener: Listener): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }
}

/** @throws MeshError the reason, if it is not wanted any more */
export function throwIfEnded({ endedBy }: Wanted): void {
  if (endedBy !== undefined) throw endedBy;
}

/** For those that know signals only. `done` must be called, or `wanted` keeps the listener. */
export function toSignal(wanted: Wanted): { readonly signal: AbortSignal; readonly done: () => void } {
  const controller = new AbortController();
  const ended = (reason: MeshError): void => controller.abort(reason);
  if (wanted.endedBy !== undefined) ended(wanted.endedBy);
  wanted.listen(ended);
  return { signal: controller.signal, done: () => wanted.forget(ended) };
}
