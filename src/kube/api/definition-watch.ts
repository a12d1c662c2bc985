/**
 * Tells when a kind that the API server does not have may have come. Its CustomResourceDefinition is watched, by name
 * and metadata alone, and only while the kind is missing: thousands of nodes then ask nothing until something happens.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { type Asked, FeedClient, type FeedClientDeps, type FeedLimits } from './feed-client.ts';
import { type ApiFailure, asFailure } from './failure.ts';
import { versionOf } from './raw-object.ts';
import { type RetryLimits, retryDelayMs } from './retry.ts';

export interface DefinitionWatchDeps extends FeedClientDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly forbidden: (error: ApiFailure) => void;
}

export interface DefinitionWatchOptions {
  readonly limits: FeedLimits;
  /** How often to look for the kind when its definition cannot be watched. */
  readonly absentRetryMs: number;
  /** How long after a change of its definition to look for it: all nodes hear of that at once. */
  readonly definedRetry: RetryLimits;
}

/** Whatever is there now, and from there on. */
const fromNow = '0';

/** A definition is taken, and some seconds later it is served, by one API server after the other. */
const looksPerChange = 4;

/** Of the time between two looks, when a watch has ended: the next one will tell. */
const soon = 0.1;

export class DefinitionWatch {
  readonly #deps: DefinitionWatchDeps;
  readonly #options: DefinitionWatchOptions;
  readonly #client: FeedClient;
  /** Of the definition that was told last: only another one is news. */
  #seen = fromNow;
  /** Since then. */
  #looks = looksPerChange;
  #told: string | undefined;

  /** `authorizationpolicies.security.istio.io`: a definition has the name of what it defines. */
  constructor(deps: DefinitionWatchDeps, resource: string, options: DefinitionWatchOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#client = new FeedClient(deps, definitionOf(resource), options.limits);
  }

  /** The kind is not there. Resolves when it may be soon, with how many milliseconds to wait until it is looked for. */
  async untilChanged(timeoutSeconds: number, stop: AbortSignal): Promise<number> {
    const { absentRetryMs, definedRetry } = this.#options;
    const random = (): number => this.#deps.clock.random();
    try {
      if (this.#looks >= looksPerChange && (await this.#isChanged(timeoutSeconds, stop))) this.#looks = 0;
    } catch (error) {
      const isWorthAnother = stop.aborted || this.#isPassing(asFailure(error));
      return absentRetryMs * (isWorthAnother ? soon : 1) * (0.75 + 0.5 * random());
    }
    this.#told = undefined;
    if (this.#looks >= looksPerChange) return absentRetryMs * soon * (0.75 + 0.5 * random());
    this.#looks += 1;
    return retryDelayMs(this.#looks, random(), definedRetry);
  }

  /** False when the server ended the watch before. @throws ApiFailure */
  async #isChanged(timeoutSeconds: number, stop: AbortSignal): Promise<boolean> {
    const parameters = { timeoutSeconds: String(timeoutSeconds), resourceVersion: this.#seen };
    for await (const { type, object } of this.#client.watch(parameters, stop, () => {})) {
      this.#seen = versionOf(object);
      if (type === 'ADDED' || type === 'MODIFIED') return true;
    }
    return false;
  }

  /** Without this watch the kind is noticed later, and nothing else is worse. */
  #isPassing(failure: ApiFailure): boolean {
    const { reason, code, hint, message } = failure;
    if (reason === 'expired') this.#seen = fromNow;
    if (reason === 'expired' || reason === 'unavailable' || reason === 'busy') return true;
    if (reason === 'forbidden') this.#deps.forbidden(failure);
    if (this.#told !== message)
      this.#deps.log.warn({ code, hint }, `a kind will be noticed late: ${message}`);
    this.#told = message;
    return false;
  }
}

const definitionOf = (resource: string): Asked => ({
  resource: 'customresourcedefinitions.apiextensions.k8s.io',
  paths: ['/apis/apiextensions.k8s.io/v1/customresourcedefinitions'],
  fieldSelector: `metadata.name=${resource}`,
  metadataOnly: true,
});
