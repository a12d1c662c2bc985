/**
 * Follows one feed for as long as it is wanted: reads everything, watches from there, resumes where a watch ended,
 * and reads everything again only when the server says that it forgot. No failure ends it; what was known stays in
 * force meanwhile.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { ObjectChange } from '../source.ts';
import type { ApiConnection } from './connection.ts';
import { ApiFailure, asFailure } from './failure.ts';
import type { Feed } from './feed.ts';
import { DefinitionWatch, type DefinitionWatchOptions } from './definition-watch.ts';
import { FeedClient, PageTooLong, type WatchEvent } from './feed-client.ts';
import type { FeedObjects } from './feed-objects.ts';
import { annotationsOf, isOlder, type RawObject, versionOf } from './raw-object.ts';
import { type RetryLimits, retryDelayMs } from './retry.ts';

export interface ReflectorDeps {
  readonly connection: Pick<ApiConnection, 'get' | 'renewCredentials'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly objects: FeedObjects;
  /** Called for each change, complete lists as one; `synced` when everything was read for the first time. */
  readonly changed: (change: ObjectChange) => void;
  readonly synced: () => void;
  /** Called for each request that a missing permission refused. */
  readonly forbidden: (error: ApiFailure) => void;
  /** Called when the server has begun to answer a watch: others who wait for it need not wait longer. */
  readonly reached: () => void;
}

export interface ReflectorOptions extends DefinitionWatchOptions {
  readonly retry: RetryLimits;
  /** Objects of a kind stay in force so long after the server said that it knows the kind no more. */
  readonly absentGraceMs: number;
  /** Objects a page. */
  readonly pageSize: number;
  /** The server ends a watch after this, and up to twice of it. */
  readonly watchMs: number;
  /** A watch that brought nothing yet counts as good after this. */
  readonly settleMs: number;
}

export const defaultReflectorOptions: Omit<ReflectorOptions, 'limits'> = {
  retry: { minMs: 500, maxMs: 30_000 },
  absentRetryMs: 60_000,
  definedRetry: { minMs: 3_000, maxMs: 6_000 },
  absentGraceMs: 60_000,
  pageSize: 250,
  watchMs: 300_000,
  settleMs: 1_000,
};

/** Set on the bookmark that follows the last object of a streamed list. */
const initialEventsEnd = 'k8s.io/initial-events-end';

export interface FeedFailure {
  readonly error: ApiFailure;
  /** Of the first in a row. */
  readonly since: number;
}

export class Reflector {
  readonly #deps: ReflectorDeps;
  readonly #feed: Feed;
  readonly #options: ReflectorOptions;
  readonly #client: FeedClient;
  readonly #definition: DefinitionWatch;
  readonly #stop = new AbortController();
  /** From where to watch; undefined: everything has to be read. */
  #version: string | undefined;
  /** False once the server did not know how to stream a list. */
  #streamsLists = true;
  #pageSize: number;
  /** In a row, of each sort: forgetting is a server's right, and no reason to wait as if it were away. */
  #failures = 0;
  #expirations = 0;
  /** The connection broke since the version was known: another server may answer, or this one from a backup. */
  #isInDoubt = false;
  #wakeUp: (() => void) | undefined;
  #failure: FeedFailure | undefined;
  /** Objects that went with their kind. */
  #loss: FeedFailure | undefined;
  #absentSince: number | undefined;
  /** Taken for a fact, and told. */
  #isAbsent = false;
  #isSynced = false;
  #heardAt: number | undefined;

  constructor(deps: ReflectorDeps, feed: Feed, options: ReflectorOptions) {
    this.#deps = deps;
    this.#feed = feed;
    this.#options = options;
    this.#pageSize = options.pageSize;
    this.#client = new FeedClient(deps, feed, options.limits);
    this.#definition = new DefinitionWatch(deps, feed.resource, options);
  }

  get feed(): Feed {
    return this.#feed;
  }

  /** Up to which version of its kind everything was read and told; undefined: not known now. */
  get version(): string | undefined {
    return this.#version;
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Why it is not up to date, if it is not. */
  get failure(): FeedFailure | undefined {
    return this.#failure;
  }

  /** What people should know: why it is not up to date, or what it lost though it is. */
  get condition(): FeedFailure | undefined {
    return this.#failure ?? this.#loss;
  }

  get heardAt(): number | undefined {
    return this.#heardAt;
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#stop.abort();
  }

  /** The server answers again: no need to wait longer for it. */
  nudge(): void {
    if (this.#failure?.error.reason === 'unavailable') this.#wakeUp?.();
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      let delay: number | 'until it is defined';
      try {
        delay = (await this.#follow()) ? 0 : this.#backoff(undefined);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        delay = this.#recover(asFailure(error));
      }
      if (delay === 'until it is defined') {
        delay = await this.#definition.untilChanged(this.#watchSeconds(), this.#stop.signal);
      }
      if (delay > 0) await this.#sleep(delay);
    }
  }

  /** One watch, after a list where one is needed. True if the watch was of use; the server ended it. */
  async #follow(): Promise<boolean> {
    if (this.#isInDoubt) await this.#checkVersion();
    if (this.#version === undefined && !this.#streamsLists) await this.#listPages();
    const isList = this.#version === undefined;
    if (isList) this.#deps.objects.beginList();
    let cancelSettle: (() => void) | undefined;
    const opened = (): void => {
      this.#deps.reached();
      if (!isList) cancelSettle = this.#deps.clock.after(this.#options.settleMs, () => this.#healthy());
    };
    const events = this.#client.watch(
      {
        timeoutSeconds: String(this.#watchSeconds()),
        ...(this.#version === undefined
          ? { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' }
          : { resourceVersion: this.#version }),
      },
      this.#stop.signal,
      opened,
    );
    try {
      return await this.#take(events);
    } finally {
      cancelSettle?.();
    }
  }

  #watchSeconds(): number {
    return Math.ceil((this.#options.watchMs * (1 + this.#deps.clock.random())) / 1000);
  }

  /** True if any of the events, besides a list, was of use. */
  async #take(events: AsyncIterable<WatchEvent>): Promise<boolean> {
    let wasUseful = false;
    for await (const { type, object } of events) {
      if (this.#stop.signal.aborted) return true;
      this.#heardAt = this.#deps.clock.now();
      if (this.#version === undefined) {
        this.#takeListed(type, object);
        continue;
      }
      wasUseful = true;
      this.#takeEvent(type, object);
      this.#healthy();
    }
    if (this.#version === undefined) throw new ApiFailure('unavailable', 'a streamed list was cut');
    return wasUseful;
  }

  #takeListed(type: string, object: RawObject): void {
    const { objects } = this.#deps;
    if (type === 'DELETED') objects.removeFromList(object);
    else if (type !== 'BOOKMARK') objects.addToList(object);
    else if (annotationsOf(object)[initialEventsEnd] === 'true') this.#endList(versionOf(object));
  }

  #takeEvent(type: string, object: RawObject): void {
    const { objects } = this.#deps;
    if (type === 'DELETED') this.#report(objects.delete(object));
    else if (type !== 'BOOKMARK') this.#report(objects.set(object));
    this.#version = versionOf(object);
  }

  async #listPages(): Promise<void> {
    const { objects } = this.#deps;
    objects.beginList();
    let token = '';
    let version = '';
    do {
      const page = await this.#client.page(this.#pageSize, token, this.#stop.signal);
      this.#heardAt = this.#deps.clock.now();
      page.items.forEach((item) => objects.addToList(item));
      version = page.resourceVersion;
      token = page.next;
    } while (token !== '');
    this.#endList(version);
  }

  #endList(version: string): void {
    this.#version = version;
    this.#report(this.#deps.objects.endList());
    this.#absentSince = undefined;
    this.#isAbsent = false;
    this.#loss = undefined;
    this.#endFailure();
    this.#markSynced();
  }

  #markSynced(): void {
    if (this.#isSynced) return;
    this.#isSynced = true;
    this.#deps.synced();
  }

  #report(change: ObjectChange): void {
    if (!this.#stop.signal.aborted) this.#deps.changed(change);
  }

  /** Only a watch that holds proves that the server is well: not a list, for it may forget that at once. */
  #healthy(): void {
    this.#failures = 0;
    this.#expirations = 0;
    this.#endFailure();
  }

  #endFailure(): void {
    if (this.#failure === undefined) return;
    const seconds = Math.round((this.#deps.clock.now() - this.#failure.since) / 1000);
    this.#failure = undefined;
    this.#deps.log.info({ feed: this.#feed.name, seconds }, 'the API server is followed again');
  }

  /** What a failure changes; returns how long to wait. */
  #recover(failure: ApiFailure): number | 'until it is defined' {
    switch (failure.reason) {
      case 'expired':
        this.#version = undefined;
        this.#note(failure);
        this.#failures = 0;
        return retryDelayMs(++this.#expirations, this.#deps.clock.random(), this.#options.retry);
      case 'unsupported':
        if (this.#version === undefined && this.#streamsLists) {
          this.#streamsLists = false;
          return 0;
        }
        break;
      case 'absent':
        if (this.#feed.optional) return this.#wait(failure);
        break;
      case 'unauthorized':
        this.#deps.connection.renewCredentials();
        break;
      case 'unavailable':
        this.#isInDoubt = true;
        break;
      case 'forbidden':
        this.#deps.forbidden(failure);
        break;
      case 'busy':
      case 'invalid':
      case 'conflict':
    }
    if (failure instanceof PageTooLong) this.#pageSize = Math.max(1, Math.floor(this.#pageSize / 2));
    this.#note(failure);
    return this.#backoff(failure.retryAfterMs);
  }

  #note(error: ApiFailure): void {
    const { log, clock } = this.#deps;
    const known = this.#failure;
    this.#failure = { error, since: known?.since ?? clock.now() };
    // A version that was forgotten is read again: nothing that anybody could do something about.
    if (known?.error.message === error.message || error.reason === 'expired') return;
    log.warn({ feed: this.#feed.name, code: error.code, hint: error.hint }, error.message);
  }

  #backoff(retryAfterMs: number | undefined): number {
    const { retry } = this.#options;
    const delay = retryDelayMs(++this.#failures, this.#deps.clock.random(), retry);
    // The server's own wish counts as the least; nobody is let wait for longer than the most.
    return Math.max(delay, Math.min(retryAfterMs ?? 0, retry.maxMs * 2));
  }

  /**
   * A server that was restored from a backup is behind the version known here. It would send nothing until it has
   * caught up, with other objects under the same versions: then everything is read again. @throws ApiFailure
   */
  async #checkVersion(): Promise<void> {
    if (this.#version !== undefined) {
      const server = await this.#client.serverVersion(this.#stop.signal);
      if (isOlder(server, this.#version)) this.#version = undefined;
    }
    this.#isInDoubt = false;
  }

  /** A kind the server does not have. What was in force stays for a while. */
  #wait(failure: ApiFailure): number | 'until it is defined' {
    if (this.#client.tryNextPath()) return 0;
    const { clock, objects } = this.#deps;
    this.#version = undefined;
    this.#absentSince ??= clock.now();
    if (objects.size > 0 && clock.now() - this.#absentSince < this.#options.absentGraceMs) {
      this.#note(failure);
      return this.#backoff(undefined);
    }
    this.#takeAbsence(failure);
    return 'until it is defined';
  }

  #noteLoss(count: number): void {
    const { log, clock } = this.#deps;
    const error = lostWithKind(this.#feed, count);
    this.#loss = { error, since: clock.now() };
    log.warn({ feed: this.#feed.name, code: error.code, hint: error.hint }, error.message);
  }

  /** That a cluster has no such kind is in order; that objects went with it has to be said for as long as it is so. */
  #takeAbsence({ message }: ApiFailure): void {
    const { objects, log } = this.#deps;
    const lost = objects.size;
    objects.beginList();
    this.#report(objects.endList());
    this.#failures = 0;
    this.#failure = undefined;
    if (this.#isAbsent) return;
    this.#isAbsent = true;
    if (lost > 0) this.#noteLoss(lost);
    else log.info({ feed: this.#feed.name }, `${message}: there are none until it does`);
    this.#markSynced();
  }

  /** Until time is up, somebody wakes it, or it is stopped. */
  #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { signal } = this.#stop;
    if (signal.aborted) return Promise.resolve();
    const wake = (): void => resolve();
    const cancel = this.#deps.clock.after(ms, wake);
    this.#wakeUp = wake;
    signal.addEventListener('abort', wake);
    return promise.finally(() => {
      cancel();
      this.#wakeUp = undefined;
      signal.removeEventListener('abort', wake);
    });
  }
}

const lostWithKind = ({ resource }: Feed, count: number): ApiFailure =>
  new ApiFailure(
    'absent',
    `the API server knows ${resource} no more: ${count} that were in force are so no longer`,
    { hint: `is the CustomResourceDefinition still wanted? kubectl get crd ${resource}` },
  );
