/**
 * A directory of manifests as a source of objects: read at the start, then followed. Only files that changed are
 * read and parsed again. While a file is broken its last good objects stay in force; while the directory itself
 * cannot be read, all of them do. Files should be renamed into place; one written in place is read when it has been
 * quiet for a moment.
 */
import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import { asMeshError, MeshError } from '../base/errors.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { ManifestCache } from './manifest-cache.ts';
import { type FileStamp, isManifestName, listManifests, readManifest } from './manifest-files.ts';
import { type ObjectKey, objectKey, type SourcedObject } from './objects.ts';
import { fileProblem, type Problem } from './problem.ts';
import type { ObjectChange, ObjectSink, ObjectSource, SourceStatus } from './source.ts';

export interface YamlDirectoryDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

export interface YamlDirectoryOptions {
  readonly path: string;
}

/** Changed files are read when the directory has been quiet for so long … */
const quietMs = 50;
/** … or so long after the first change, if it never is. */
const patienceMs = 200;
/** The kernel drops events when its queue is full and does not follow links; nothing is missed for longer. */
const rescanMs = 10_000;

export class YamlDirectory implements ObjectSource {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #path: string;
  readonly #cache = new ManifestCache();
  readonly #stamps = new Map<string, FileStamp>();
  /** Files that an event named since they were read last. */
  readonly #dirty = new Set<string>();
  /** What the sink knows. */
  readonly #reported = new Map<ObjectKey, SourcedObject>();
  #reportedAt: number | undefined;
  #sink: ObjectSink | undefined;
  #watcher: FSWatcher | undefined;
  #directoryProblem: Problem | undefined;
  #cancelRefresh: (() => void) | undefined;
  #firstChangeAt: number | undefined;
  #cancelRescan: (() => void) | undefined;
  /** The last piece of work; pieces run one after another. */
  #work: Promise<void> = Promise.resolve();

  constructor({ clock, log }: YamlDirectoryDeps, { path }: YamlDirectoryOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#path = path;
  }

  async start(sink: ObjectSink): Promise<void> {
    if (this.#sink !== undefined) throw new MeshError('INTERNAL', 'started a source twice');
    this.#sink = sink;
    // Watched before it is read: what changes in between is read twice and not missed.
    this.#watch();
    await this.#enqueue(async () => void (await this.#scan()));
    if (this.#directoryProblem !== undefined) {
      this.stop();
      throw new MeshError('NOT_FOUND', `${this.#path}: ${this.#directoryProblem.message}`);
    }
    this.#guarded(() => this.#report());
    this.#scheduleRescan();
  }

  /** A file that cannot be read is a fault of its objects, and reported as one. */
  status(): SourceStatus {
    const state = this.#reportedAt === undefined ? 'starting' : 'live';
    return { name: `directory ${this.#path}`, state, lastEventAt: this.#reportedAt, conditions: [] };
  }

  stop(): void {
    this.#sink = undefined;
    this.#cancelRefresh?.();
    this.#cancelRescan?.();
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  /** Watches (again): a new directory may have taken the old one's place. The old watch ends after the new began. */
  #watch(): void {
    const old = this.#watcher;
    try {
      // Not persistent: a source by itself is no reason for the process to live.
      this.#watcher = watch(this.#path, { persistent: false }, (_, name) => this.#changed(name));
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      // The scan that follows finds out why and reports it.
      this.#watcher = undefined;
    }
    old?.close();
  }

  #changed(name: string | null): void {
    if (this.#sink === undefined || name === null || !isManifestName(name)) return;
    this.#dirty.add(join(this.#path, name));
    const now = this.#clock.now();
    this.#firstChangeAt ??= now;
    this.#cancelRefresh?.();
    const delay = Math.max(0, Math.min(quietMs, this.#firstChangeAt + patienceMs - now));
    this.#cancelRefresh = this.#clock.after(delay, () => {
      this.#firstChangeAt = undefined;
      void this.#enqueue(() => this.#refresh());
    });
  }

  #scheduleRescan(): void {
    this.#cancelRescan = this.#clock.after(rescanMs, () => {
      this.#watch();
      void this.#enqueue(async () => {
        if (await this.#scan()) this.#report();
        if (this.#sink !== undefined) this.#scheduleRescan();
      });
    });
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(work).catch((error: unknown) => this.#failed(error));
    return this.#work;
  }

  /** A sink that throws ends neither the source nor the process. */
  #guarded(report: () => void): void {
    try {
      report();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#log.error({ err: error }, 'a change of the manifests could not be taken over');
  }

  /** Reads the files that events named, whatever their stamps say: two writes may be too close for the clock. */
  async #refresh(): Promise<void> {
    const paths = [...this.#dirty];
    this.#dirty.clear();
    let isNews = false;
    for (const path of paths) isNews = (await this.#read(path, undefined)) || isNews;
    if (isNews) this.#report();
  }

  /** Looks at every file; true if anything is new. */
  async #scan(): Promise<boolean> {
    const before = this.#directoryProblem;
    const paths = await this.#list();
    let isNews = before?.message !== this.#directoryProblem?.message;
    for (const path of paths) isNews = (await this.#read(path, this.#stamps.get(path))) || isNews;
    if (this.#directoryProblem !== undefined) return isNews;
    const present = new Set(paths);
    for (const path of this.#cache.paths) {
      if (!present.has(path)) isNews = this.#forget(path) || isNews;
    }
    return isNews;
  }

  async #list(): Promise<readonly string[]> {
    try {
      const paths = await listManifests(this.#path);
      this.#directoryProblem = undefined;
      return paths;
    } catch (error) {
      const { message } = asMeshError(error, 'UNAVAILABLE', 'the directory cannot be read');
      this.#directoryProblem = fileProblem(this.#path, message);
      return [];
    }
  }

  /** Reads one file; true if that changed anything. */
  async #read(path: string, known: FileStamp | undefined): Promise<boolean> {
    const read = await readManifest(path, known);
    switch (read.type) {
      case 'unchanged':
        return false;
      case 'gone':
        return this.#forget(path);
      case 'unreadable':
        this.#stamps.delete(path);
        return this.#cache.setUnreadable(path, read.message);
      case 'text':
        this.#stamps.set(path, read.stamp);
        return this.#cache.set(path, read.text);
    }
  }

  #forget(path: string): boolean {
    this.#stamps.delete(path);
    return this.#cache.delete(path);
  }

  #report(): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    const { objects, errors } = this.#cache.merged();
    this.#reportedAt = this.#clock.now();
    this.#guarded(() =>
      sink.faulty(this.#directoryProblem === undefined ? errors : [this.#directoryProblem, ...errors]),
    );
    sink.changed(this.#changeTo(objects));
  }

  #changeTo(objects: readonly SourcedObject[]): ObjectChange {
    const wanted = new Map(objects.map((sourced) => [objectKey(sourced.object), sourced]));
    const deleted = [...this.#reported.keys()].filter((key) => !wanted.has(key));
    const set = objects.filter((sourced) => this.#reported.get(objectKey(sourced.object)) !== sourced);
    deleted.forEach((key) => this.#reported.delete(key));
    set.forEach((sourced) => this.#reported.set(objectKey(sourced.object), sourced));
    return { set, deleted };
  }
}
