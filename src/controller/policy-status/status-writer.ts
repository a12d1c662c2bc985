/**
 * Writes the status of policies, one after the other, and only what changed. Only the leader writes; each write names
 * the version it is about, so a writer that is late, or two at once, are refused and look again. Everybody who watches
 * policies hears of each write: the more nodes, the longer the pause between two.
 */
import type { Clock } from '../../base/clock.ts';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { retryDelayMs } from '../../kube/api/retry.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { mergeObject } from '../../kube/client/kube-objects.ts';
import { resourceOf } from '../../kube/client/resources.ts';
import type { PolicyKind } from '../../kube/api/feed.ts';
import { kinds, type ObjectKey } from '../../kube/objects.ts';
import type { PolicyBook, Wanted } from './policy-book.ts';

export interface StatusWriterDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly leading: () => boolean;
  readonly book: Pick<PolicyBook, 'wanted' | 'written' | 'isOpen' | 'keys' | 'has'>;
  /** How many nodes watch. */
  readonly nodes: () => number;
  /** Hears how each write ended: `ok`, or the error's code. */
  readonly written?: (result: string) => void;
}

export interface StatusFailure {
  readonly error: MeshError;
  /** Of the first in a row, in milliseconds since the epoch. */
  readonly since: number;
}

interface Last {
  readonly text: string;
  readonly at: number;
  /** How often the same was written in a row: somebody takes it away. */
  readonly times: number;
}

/** While there is nothing to write. */
const lookEveryMs = 1_000;
/** Between two writes: 10 000 events a second at the API server, from 500 nodes on. */
const pace = { minMs: 50, perNodeMs: 0.1 };
/** How far nodes are is written so often, until they are done. */
const progressEveryMs = 10_000;
/** Permissions that are missing, and kinds without a status, are mended by people. */
const heldMs = 30_000;
const fightLimits = { minMs: 30_000, maxMs: 3_600_000 };
const retryLimits = { minMs: 1_000, maxMs: 60_000 };
/** Policies looked at in one turn: nobody else waits for it. */
const maxLooks = 500;

export class StatusWriter {
  readonly #deps: StatusWriterDeps;
  /** Policies to look at, and not before when. */
  readonly #due = new Map<ObjectKey, number>();
  readonly #last = new Map<ObjectKey, Last>();
  readonly #held = new Map<PolicyKind, StatusFailure & { readonly until: number }>();
  #failures = 0;
  #failure: StatusFailure | undefined;
  #isLeading = false;
  #isStopped = false;
  #cancel: (() => void) | undefined;

  constructor(deps: StatusWriterDeps) {
    this.#deps = deps;
    this.#after(0);
  }

  /** Why some or all of it cannot be written now. */
  get failures(): readonly StatusFailure[] {
    return [...(this.#failure === undefined ? [] : [this.#failure]), ...this.#held.values()];
  }

  /** The policy is another one, or gone. */
  look(key: ObjectKey): void {
    if (this.#deps.book.has(key)) return void this.#due.set(key, this.#deps.clock.now());
    this.#due.delete(key);
    this.#last.delete(key);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #after(ms: number): void {
    if (this.#isStopped) return;
    this.#cancel = this.#deps.clock.after(ms, () => void this.#turn());
  }

  /** Never rejects: certificates are signed in the same process. */
  async #turn(): Promise<void> {
    let pauseMs = lookEveryMs;
    try {
      const leads = this.#deps.leading();
      // Whoever led before may not have written everything.
      if (leads && !this.#isLeading) this.#deps.book.keys.forEach((key) => this.look(key));
      this.#isLeading = leads;
      const next = leads ? this.#next() : undefined;
      if (next !== undefined) pauseMs = await this.#write(next.key, next.wanted);
    } catch (error) {
      this.#deps.log.error({ err: error }, 'the status of a policy could not be told');
    }
    this.#after(pauseMs);
  }

  #next(): { readonly key: ObjectKey; readonly wanted: Wanted } | undefined {
    const now = this.#deps.clock.now();
    let looks = 0;
    for (const [key, at] of this.#due) {
      if (at > now) continue;
      if (++looks > maxLooks) return undefined;
      // To the end: others have their turn first.
      this.#due.delete(key);
      const wanted = this.#deps.book.wanted(key, now);
      if (wanted === undefined) {
        if (this.#deps.book.isOpen(key)) this.#due.set(key, now + lookEveryMs);
        continue;
      }
      const from = this.#writeFrom(key, wanted);
      // What waits only because it was written a moment ago may be final, and then is written at once.
      const mayBeDone = this.#heldUntil(wanted) <= now && this.#deps.book.isOpen(key);
      this.#due.set(key, now + Math.max(lookEveryMs, mayBeDone ? 0 : from - now));
      if (from <= now) return { key, wanted };
    }
    return undefined;
  }

  /** When it may be written. */
  #writeFrom(key: ObjectKey, wanted: Wanted): number {
    const { text, isProgress } = wanted;
    const last = this.#last.get(key);
    const heldUntil = this.#heldUntil(wanted);
    if (last === undefined) return heldUntil;
    const own =
      last.text === text ? retryDelayMs(last.times, 1, fightLimits) : isProgress ? progressEveryMs : 0;
    return Math.max(heldUntil, last.at + own);
  }

  #heldUntil({ record }: Wanted): number {
    return this.#held.get(record.kind)?.until ?? 0;
  }

  /** How long to pause afterwards. */
  async #write(key: ObjectKey, wanted: Wanted): Promise<number> {
    const { client, book, nodes, written, log } = this.#deps;
    const { kind, namespace, name, uid, resourceVersion } = wanted.record;
    const [apiVersion = ''] = kinds[kind].apiVersions;
    // The UID makes it a conflict to meet another object of the name.
    const patch = { metadata: { uid, resourceVersion }, status: { conditions: wanted.conditions } };
    const pauseMs = Math.max(pace.minMs, nodes() * pace.perNodeMs);
    try {
      const place = { namespace, name };
      book.written(key, await mergeObject(client, resourceOf(apiVersion, kind), place, patch, 'status'));
      this.#noteWritten(key, wanted);
      if (this.#held.delete(kind)) log.info({ kind }, 'the status of policies is written again');
      this.#failure = undefined;
      this.#failures = 0;
      written?.('ok');
      return pauseMs;
    } catch (thrown) {
      const error = asMeshError(thrown);
      written?.(error.code);
      return this.#failed(key, wanted, error) ?? pauseMs;
    }
  }

  #noteWritten(key: ObjectKey, { text }: Wanted): void {
    const known = this.#last.get(key);
    const times = known?.text === text ? known.times + 1 : 1;
    this.#last.set(key, { text, at: this.#deps.clock.now(), times });
  }

  /** How long to pause, where that is longer than usual. */
  #failed(key: ObjectKey, wanted: Wanted, error: MeshError): number | undefined {
    const { log, clock } = this.#deps;
    const { kind, namespace, name } = wanted.record;
    const fields = { kind, namespace, name, code: error.code, hint: error.hint };
    switch (error.code) {
      case 'CONFLICT':
        // The watch tells of the newer one; until then it is looked at again in a second.
        log.debug(fields, 'the policy has changed, and what was to be said of it');
        return undefined;
      case 'API_FORBIDDEN':
        this.#hold(kind, error);
        return undefined;
      case 'NOT_FOUND':
        if (/requested resource/.test(error.message)) this.#hold(kind, withoutStatus(kind));
        // Else it is gone, and the watch will tell.
        this.#due.set(key, clock.now() + heldMs);
        return undefined;
      case 'INVALID_MANIFEST':
      case 'INVALID_ARGUMENT':
        log.warn(fields, `the API server does not take the status of a policy: ${error.message}`);
        this.#noteWritten(key, wanted);
        return undefined;
      default:
        if (error.message !== this.#failure?.error.message) {
          log.warn(fields, `the status of policies cannot be written now: ${error.message}`);
        }
        this.#failure = { error, since: this.#failure?.since ?? clock.now() };
        return retryDelayMs(++this.#failures, clock.random(), retryLimits);
    }
  }

  /** Of other kinds the status is written meanwhile. */
  #hold(kind: PolicyKind, error: MeshError): void {
    const { clock, log } = this.#deps;
    const known = this.#held.get(kind);
    if (known === undefined) log.warn({ kind, code: error.code, hint: error.hint }, error.message);
    const since = known?.since ?? clock.now();
    this.#held.set(kind, { error, since, until: clock.now() + heldMs });
  }
}

const withoutStatus = (kind: PolicyKind): MeshError =>
  new MeshError('UNSUPPORTED', `the CustomResourceDefinition of ${kind} has no status subresource`, {
    hint: 'it is of an older version: mesh-ebpf install brings it up to date; Istio’s comes with Istio',
  });
