/**
 * Tells every controller which policies this node enforces: one report for all of them, a while after they changed, for
 * as long as the controllers ask to wait (with 5 000 nodes nearly a minute). Nobody waits for it, and nothing is written
 * to the API server.
 */
import type { Clock } from '../base/clock.ts';
import { asMeshError, type MeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Progress } from '../kube/api/api-source.ts';
import { retryDelayMs } from '../kube/api/retry.ts';
import type { PolicyReportReply } from '../rpc/generated/policy-report.ts';

export interface PolicyReporterDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** How far each kind of policy is in force. */
  readonly progress: () => readonly Progress[];
  /** Where controllers are now. */
  readonly controllers: () => readonly string[];
  /** @throws MeshError */
  readonly send: (controller: string, applied: ReadonlyMap<string, string>) => Promise<PolicyReportReply>;
}

/** What one controller was told. */
interface Told {
  /** Of the objects: another one is news. */
  revision: string | undefined;
  /** Of the API server, by kind. */
  versions: string;
  at: number;
  /** When to tell next; undefined: nothing is planned. */
  due: number | undefined;
  /** Told once more since the last news. */
  isFollowedUp: boolean;
  isBusy: boolean;
  failures: number;
  spreadMs: number;
  againMs: number;
  trouble: ControllerTrouble | undefined;
}

/** What keeps a controller from writing the status of policies. */
export type ControllerTrouble = NonNullable<PolicyReportReply['trouble']>;

const lookEveryMs = 1_000;
/**
 * The controller may have seen a newer version of an object than the one that was news here: somebody wrote its status
 * in the same moment. What was read since is told once, this long after.
 */
const followUpMs = 10_000;
const retryLimits = { minMs: 2_000, maxMs: 300_000 };
/** An authority that is not ours. */
const unsupportedMs = 600_000;
/** What a controller may ask for. */
const limits = { spreadMs: 300_000, againMs: [10_000, 3_600_000] } as const;

export class PolicyReporter {
  readonly #deps: PolicyReporterDeps;
  readonly #told = new Map<string, Told>();
  #cancel: () => void;
  #isStopped = false;

  constructor(deps: PolicyReporterDeps) {
    this.#deps = deps;
    this.#cancel = deps.clock.after(0, () => this.#look());
  }

  /** Of the controllers, each once. */
  get troubles(): readonly ControllerTrouble[] {
    const all = [...this.#told.values()].flatMap(({ trouble }) => trouble ?? []);
    return [...new Map(all.map((trouble) => [trouble.message, trouble])).values()];
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #look(): void {
    const { clock, progress, controllers } = this.#deps;
    const addresses = controllers();
    for (const address of this.#told.keys()) if (!addresses.includes(address)) this.#told.delete(address);
    const known = progress();
    for (const address of addresses) this.#consider(address, known);
    this.#cancel = clock.after(lookEveryMs, () => this.#look());
  }

  #consider(address: string, known: readonly Progress[]): void {
    const { clock } = this.#deps;
    const told = this.#told.get(address) ?? stranger();
    this.#told.set(address, told);
    if (told.isBusy) return;
    const now = clock.now();
    const isNews = told.revision !== revisionOf(known);
    if (isNews) told.due ??= now + told.spreadMs * clock.random();
    const followsUp =
      !isNews && !told.isFollowedUp && now >= told.at + followUpMs && told.versions !== versionsOf(known);
    const isDue = told.due === undefined ? now >= told.at + told.againMs : now >= told.due;
    if (!isDue && !followsUp) return;
    told.isFollowedUp = !isNews;
    void this.#tell(address, told, known);
  }

  async #tell(address: string, told: Told, known: readonly Progress[]): Promise<void> {
    const { clock, send } = this.#deps;
    told.isBusy = true;
    told.due = undefined;
    try {
      const reply = await send(address, new Map(known.map(({ kind, version }) => [kind, version])));
      told.revision = revisionOf(known);
      told.versions = versionsOf(known);
      told.failures = 0;
      told.spreadMs = Math.min(reply.spreadMs, limits.spreadMs);
      told.againMs = Math.min(Math.max(reply.againMs, limits.againMs[0]), limits.againMs[1]);
      told.trouble = reply.trouble;
    } catch (thrown) {
      this.#failed(address, told, asMeshError(thrown));
    }
    told.at = clock.now();
    told.isBusy = false;
  }

  /** That the controller is away is said by those who need it more. */
  #failed(address: string, told: Told, error: MeshError): void {
    const { clock, log } = this.#deps;
    if (this.#isStopped) return;
    log.debug(
      { controller: address, code: error.code },
      `policies in force were not reported: ${error.message}`,
    );
    const pauseMs =
      error.code === 'UNSUPPORTED'
        ? unsupportedMs
        : retryDelayMs(++told.failures, clock.random(), retryLimits);
    told.due = clock.now() + pauseMs;
  }
}

const stranger = (): Told => ({
  revision: undefined,
  versions: '',
  at: 0,
  due: undefined,
  isFollowedUp: false,
  isBusy: false,
  failures: 0,
  spreadMs: 1_000,
  againMs: 600_000,
  trouble: undefined,
});

const revisionOf = (known: readonly Progress[]): string =>
  known.map(({ kind, revision }) => `${kind} ${revision}`).join();

const versionsOf = (known: readonly Progress[]): string =>
  known.map(({ kind, version }) => `${kind} ${version}`).join();
