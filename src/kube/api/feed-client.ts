/** The requests of one feed: a page of a list, a watch, a look at the server's version. Parsed, bounded, timed. */
import type { Clock } from '../../base/clock.ts';
import { LineSplitter } from '../line-splitter.ts';
import type { ApiConnection } from './connection.ts';
import { type AnswerDeadline, answerDeadline } from './deadline.ts';
import { ApiFailure, failureOf } from './failure.ts';
import type { Feed } from './feed.ts';
import type { RawObject } from './raw-object.ts';
import { parseRetryAfterMs } from './retry.ts';
import type { ApiResponse } from './transport.ts';

export interface FeedLimits {
  /** An object may have 1.5 MiB in etcd, and more as JSON. */
  readonly maxLineBytes: number;
  /** One page of a list. */
  readonly maxPageBytes: number;
  /** How long the server may take to begin an answer, and to go on with a page. */
  readonly answerMs: number;
  /** A watch gets a bookmark every minute; silent for longer, it is not trusted. */
  readonly silenceMs: number;
}

export const defaultLimits: FeedLimits = {
  maxLineBytes: 8 * 1024 * 1024,
  maxPageBytes: 64 * 1024 * 1024,
  answerMs: 30_000,
  silenceMs: 150_000,
};

export interface Page {
  readonly items: readonly RawObject[];
  readonly resourceVersion: string;
  /** The token for the next page; '' after the last. */
  readonly next: string;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: RawObject;
}

export interface FeedClientDeps {
  readonly connection: Pick<ApiConnection, 'get'>;
  readonly clock: Clock;
}

/** Of a feed, what its requests need. */
export type Asked = Pick<Feed, 'resource' | 'paths' | 'fieldSelector' | 'metadataOnly'>;

export class FeedClient {
  readonly #deps: FeedClientDeps;
  readonly #feed: Asked;
  readonly #limits: FeedLimits;
  /** Of the feed's paths, the one in use. */
  #path = 0;

  constructor(deps: FeedClientDeps, feed: Asked, limits: FeedLimits) {
    this.#deps = deps;
    this.#feed = feed;
    this.#limits = limits;
  }

  /** Turns to the kind's next API version; false after the last, when it starts over. */
  tryNextPath(): boolean {
    this.#path = (this.#path + 1) % this.#feed.paths.length;
    return this.#path !== 0;
  }

  /** @throws ApiFailure */
  async page(limit: number, token: string, stop: AbortSignal): Promise<Page> {
    const query = { ...this.#selector(), limit: String(limit), ...(token === '' ? {} : { continue: token }) };
    return pageOf(parseObject(await this.#text('list', query, stop)));
  }

  /** The version the server is at, cheaply. @throws ApiFailure */
  async serverVersion(stop: AbortSignal): Promise<string> {
    return pageOf(parseObject(await this.#text('list', { limit: '1' }, stop))).resourceVersion;
  }

  /** Events until the server ends the watch; `opened` is called when it has begun. @throws ApiFailure */
  async *watch(
    parameters: Readonly<Record<string, string>>,
    stop: AbortSignal,
    opened: () => void,
  ): AsyncGenerator<WatchEvent> {
    const query = { ...this.#selector(), watch: 'true', allowWatchBookmarks: 'true', ...parameters };
    const lines = new LineSplitter(this.#limits.maxLineBytes);
    using deadline = this.#deadline(stop);
    const response = await this.#ask('watch', query, deadline);
    deadline.every(this.#limits.silenceMs);
    opened();
    try {
      for await (const chunk of response.body) {
        deadline.heard();
        for (const line of lines.push(chunk as Buffer)) yield eventOf(line);
      }
    } catch (error) {
      throw deadline.blame(error);
    }
    deadline.check();
    if (lines.isMidLine || !response.isComplete()) throw new ApiFailure('unavailable', 'a watch was cut off');
  }

  #selector(): Readonly<Record<string, string>> {
    const { fieldSelector } = this.#feed;
    return fieldSelector === undefined ? {} : { fieldSelector };
  }

  #deadline(stop: AbortSignal): AnswerDeadline {
    return answerDeadline(this.#deps.clock, stop, this.#limits.answerMs);
  }

  async #text(verb: 'list', query: Readonly<Record<string, string>>, stop: AbortSignal): Promise<string> {
    using deadline = this.#deadline(stop);
    const { body } = await this.#ask(verb, query, deadline);
    try {
      return await textOf(body, this.#limits.maxPageBytes, deadline);
    } catch (error) {
      throw deadline.blame(error);
    }
  }

  /** Resolves with an answer of status 200; its body is still to be read. */
  async #ask(
    verb: 'list' | 'watch',
    query: Readonly<Record<string, string>>,
    deadline: AnswerDeadline,
  ): Promise<ApiResponse> {
    const path = `${this.#feed.paths[this.#path]}?${new URLSearchParams(query).toString()}`;
    const accept = acceptFor(verb, this.#feed.metadataOnly);
    const response = await this.#deps.connection
      .get({ path, accept, signal: deadline.signal })
      .catch((error: unknown) => Promise.reject(deadline.blame(error)));
    deadline.heard();
    if (response.status === 200) return response;
    const body = await refusalBody(response, deadline);
    const { resource } = this.#feed;
    const retryAfterMs = parseRetryAfterMs(response.retryAfter);
    throw failureOf({ verb, resource, httpStatus: response.status, body, retryAfterMs });
  }
}

function acceptFor(verb: 'list' | 'watch', metadataOnly: boolean): string {
  if (!metadataOnly) return 'application/json';
  const type = verb === 'list' ? 'PartialObjectMetadataList' : 'PartialObjectMetadata';
  return `application/json;as=${type};v=v1;g=meta.k8s.io,application/json`;
}

const maxRefusalBytes = 64 * 1024;

/** What a refusal says; unreadable, it is still a refusal. */
async function refusalBody({ body }: ApiResponse, deadline: AnswerDeadline): Promise<RawObject> {
  const text = await textOf(body, maxRefusalBytes, deadline).catch(() => '');
  try {
    return parseObject(text);
  } catch {
    return { message: text.trim() };
  }
}

async function textOf(
  body: ApiResponse['body'],
  maxBytes: number,
  deadline: AnswerDeadline,
): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    deadline.heard();
    const bytes = chunk as Buffer;
    length += bytes.length;
    if (length > maxBytes) throw new PageTooLong(maxBytes);
    chunks.push(bytes);
  }
  deadline.check();
  return Buffer.concat(chunks).toString();
}

/** A page to be asked for in smaller pieces. */
export class PageTooLong extends ApiFailure {
  constructor(maxBytes: number) {
    super('busy', `a page of a list has more than ${maxBytes} bytes`);
  }
}

const isObject = (value: unknown): value is RawObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parseObject(text: string): RawObject {
  const garbage = (): ApiFailure =>
    new ApiFailure('unavailable', `the API server sent something else than an object: ${text.slice(0, 80)}`);
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch {
    // Said below.
  }
  throw garbage();
}

function pageOf({ metadata, items }: RawObject): Page {
  const { resourceVersion, continue: next } = isObject(metadata) ? metadata : {};
  // Go writes an empty list as null.
  const given = items === null ? [] : items;
  if (typeof resourceVersion !== 'string' || !Array.isArray(given) || !given.every(isObject)) {
    throw new ApiFailure('unavailable', 'the API server sent something else than a list');
  }
  return { items: given, resourceVersion, next: typeof next === 'string' ? next : '' };
}

function eventOf(line: string): WatchEvent {
  const { type, object } = parseObject(line);
  if (!isObject(object)) throw new ApiFailure('unavailable', 'a watch brought an event without an object');
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      return { type, object };
    case 'ERROR':
      throw errorEvent(object);
    default:
      throw new ApiFailure('unavailable', `a watch brought an event of unknown type ${JSON.stringify(type)}`);
  }
}

/** The server gives up a watch with a Status object: mostly 410, when the watch fell behind. */
function errorEvent({ code, message }: RawObject): ApiFailure {
  const said = typeof message === 'string' ? message.slice(0, 300) : 'no reason given';
  const reason = code === 410 ? 'expired' : 'unavailable';
  return new ApiFailure(reason, `the API server ended a watch: ${said}`);
}
