/**
 * The Kubernetes API as a source of objects: a reflector per feed, all on one connection. With the objects of an
 * earlier process it reports those at once, and each feed's are replaced when the server has listed that feed
 * completely; without, nothing is reported before everything was read.
 */
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { isKind, type Kind, type ObjectKey, type SourcedObject } from '../objects.ts';
import type { ObjectChange, ObjectSink, ObjectSource, SourceCondition, SourceStatus } from '../source.ts';
import { ChangeBatch } from './change-batch.ts';
import type { ApiConnection } from './connection.ts';
import { type Feed, keep } from './feed.ts';
import { defaultLimits } from './feed-client.ts';
import { FeedObjects } from './feed-objects.ts';
import type { RawObject } from './raw-object.ts';
import { defaultReflectorOptions, Reflector, type ReflectorOptions } from './reflector.ts';

export interface ApiSourceDeps {
  readonly connection: Pick<ApiConnection, 'get' | 'renewCredentials' | 'close' | 'server'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of each request that a missing permission refused, for metrics. */
  readonly forbidden?: (error: MeshError) => void;
}

/** What an earlier process knew last. */
export interface LastGood {
  readonly objects: readonly RawObject[];
  /** In milliseconds since the epoch. */
  readonly writtenAt: number;
}

export interface ApiSourceOptions {
  readonly feeds: readonly Feed[];
  readonly lastGood: LastGood | undefined;
  readonly reflector?: ReflectorOptions;
}

export interface Progress {
  readonly kind: Kind;
  /** The API server's, of the last event or list. */
  readonly version: string;
  /** Another one: the kind's objects have changed. */
  readonly revision: number;
}

interface Follower {
  readonly objects: FeedObjects;
  readonly reflector: Reflector;
}

export class ApiSource implements ObjectSource {
  readonly #deps: ApiSourceDeps;
  readonly #lastGood: LastGood | undefined;
  readonly #followers: readonly Follower[];
  readonly #batch: ChangeBatch;
  readonly #started = Promise.withResolvers<void>();
  #sink: ObjectSink | undefined;
  #problemsTold = 0;
  #hasReported = false;

  constructor(deps: ApiSourceDeps, options: ApiSourceOptions) {
    this.#deps = deps;
    this.#lastGood = options.lastGood;
    this.#batch = new ChangeBatch(deps.clock, (change) => this.#deliver(change));
    const reflectorOptions = options.reflector ?? { ...defaultReflectorOptions, limits: defaultLimits };
    this.#followers = options.feeds.map((feed) => this.#follower(feed, reflectorOptions));
  }

  start(sink: ObjectSink): Promise<void> {
    if (this.#sink !== undefined) throw new MeshError('INTERNAL', 'started a source twice');
    this.#sink = sink;
    if (this.#lastGood !== undefined) {
      this.#seed(this.#lastGood);
      this.#report();
    }
    for (const { reflector } of this.#followers) reflector.start();
    const started = heldBy(this.#started.promise);
    // Whoever starts it may be gone when it is stopped.
    started.catch(() => {});
    return started;
  }

  status(): SourceStatus {
    const reflectors = this.#followers.map(({ reflector }) => reflector);
    const heard = reflectors.flatMap(({ heardAt }) => heardAt ?? []);
    const isLive = reflectors.every(({ isSynced, failure }) => isSynced && failure === undefined);
    return {
      name: `kubernetes ${this.#deps.connection.server}`,
      state: !this.#hasReported ? 'starting' : isLive ? 'live' : 'stale',
      lastEventAt: heard.length === 0 ? undefined : Math.max(...heard),
      conditions: [...this.#snapshotCondition(), ...reflectors.flatMap(feedCondition)],
    };
  }

  /** How far the feeds of these kinds were read and reported; a kind of which that is not known is absent. */
  progress(wanted: readonly Kind[]): readonly Progress[] {
    this.#batch.flush();
    return this.#followers.flatMap(({ objects: { revision }, reflector: { feed, version } }) =>
      version === undefined || !wanted.includes(feed.kind) ? [] : [{ kind: feed.kind, version, revision }],
    );
  }

  stop(): void {
    this.#sink = undefined;
    this.#started.promise.catch(() => {});
    this.#started.reject(new MeshError('UNAVAILABLE', 'stopped before the API server had answered'));
    this.#batch.close();
    for (const { reflector } of this.#followers) reflector.stop();
    this.#deps.connection.close();
  }

  #follower(feed: Feed, options: ReflectorOptions): Follower {
    const objects = new FeedObjects(feed);
    const changed = (change: ObjectChange): void => {
      this.#batch.add(this.#settled(change, feed));
      this.#tellProblems();
    };
    const synced = (): void => {
      if (this.#followers.every(({ reflector: { isSynced } }) => isSynced)) this.#report();
    };
    const reached = (): void => this.#followers.forEach(({ reflector }) => reflector.nudge());
    const { forbidden = () => {} } = this.#deps;
    const deps = { ...this.#deps, objects, changed, synced, reached, forbidden };
    return { objects, reflector: new Reflector(deps, feed, options) };
  }

  /**
   * Two feeds of one kind can hold one name for a moment: a pod's successor runs on another node before its deletion
   * was heard of here. Then it is not gone.
   */
  #settled({ set, deleted }: ObjectChange, { kind }: Feed): ObjectChange {
    if (deleted.length === 0) return { set, deleted };
    const siblings = this.#followers.filter(({ reflector: { feed } }) => feed.kind === kind);
    const heir = (key: ObjectKey): SourcedObject | undefined =>
      siblings.map(({ objects }) => objects.get(key)).find((sourced) => sourced !== undefined);
    const heirs = deleted.map(heir).filter((sourced) => sourced !== undefined);
    return { set: [...set, ...heirs], deleted: deleted.filter((key) => heir(key) === undefined) };
  }

  /** Objects of an earlier process are parsed as those of the server are: another version may have kept less. */
  #seed({ objects }: LastGood): void {
    for (const raw of objects) {
      const { kind } = raw;
      const candidates = this.#followers.filter(({ reflector: { feed } }) => feed.kind === kind);
      const [first] = candidates;
      if (typeof kind !== 'string' || !isKind(kind) || first === undefined) continue;
      const { object } = keep(first.reflector.feed, raw);
      if (object === undefined) continue;
      const sourced: SourcedObject = { object, position: undefined };
      candidates.find(({ reflector: { feed } }) => feed.owns(sourced))?.objects.seed([sourced]);
      this.#batch.add({ set: [sourced], deleted: [] });
    }
  }

  #report(): void {
    if (this.#hasReported || this.#sink === undefined) return;
    this.#hasReported = true;
    this.#batch.open();
    this.#started.resolve();
  }

  #deliver(change: ObjectChange): void {
    this.#guarded(() => this.#sink?.changed(change));
  }

  #tellProblems(): void {
    const problems = this.#followers.flatMap(({ objects }) => objects.problems);
    if (problems.length === 0 && this.#problemsTold === 0) return;
    this.#problemsTold = problems.length;
    this.#guarded(() => this.#sink?.faulty(problems));
  }

  #guarded(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#deps.log.error({ err: error }, 'a change of the objects could not be taken over');
    }
  }

  /** While some of what is in force comes from an earlier process only. */
  #snapshotCondition(): SourceCondition[] {
    const pending = this.#followers.filter(({ reflector: { isSynced } }) => !isSynced);
    if (this.#lastGood === undefined || pending.length === 0) return [];
    const { writtenAt } = this.#lastGood;
    const age = Math.round((this.#deps.clock.now() - writtenAt) / 1000);
    const names = pending.map(({ reflector: { feed } }) => feed.name).join(', ');
    const message = `the node runs from what it knew ${age} s ago: not yet read again are ${names}`;
    return [{ subject: 'snapshot', error: new MeshError('API_UNAVAILABLE', message), since: writtenAt }];
  }
}

/** Neither timers nor connections here keep the process alive; that somebody waits for the first answer does. */
function heldBy(waiting: Promise<void>): Promise<void> {
  const hold = setInterval(() => {}, 60_000);
  return waiting.finally(() => clearInterval(hold));
}

const feedCondition = ({ feed, condition }: Reflector): SourceCondition[] =>
  condition === undefined ? [] : [{ subject: feed.name, ...condition }];
