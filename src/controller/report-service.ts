/** `PolicyReportService/Report` without its transport: a node, and only a node, says what it runs. */
import type { Clock } from '../base/clock.ts';
import { asMeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { NodeName } from '../model/mesh.ts';
import type { PolicyReport, PolicyReportReply } from '../rpc/generated/policy-report.ts';
import type { Refusal, RefusalStatus } from './ca-service.ts';
import type { Authenticator } from './caller.ts';
import { type RateLimit, RateLimiter } from './rate-limiter.ts';

export interface ReportCall {
  /** From `authorization: Bearer …`. */
  readonly token: string | undefined;
  /** Address of the other end, without its port. */
  readonly host: string;
  readonly message: PolicyReport;
}

export interface ReportServiceDeps {
  readonly authenticator: Authenticator;
  readonly take: (node: NodeName, applied: ReadonlyMap<string, string>) => PolicyReportReply;
  readonly clock: Clock;
  readonly log: Logger;
}

type Answer = { readonly type: 'taken'; readonly reply: PolicyReportReply } | Refusal;

/** A node that follows what it is told asks once a second at most. */
const nodeLimit: RateLimit = { perSecond: 1, burst: 20 };

export class ReportService {
  readonly #deps: ReportServiceDeps;
  readonly #nodes: RateLimiter;

  constructor(deps: ReportServiceDeps) {
    this.#deps = deps;
    this.#nodes = new RateLimiter(nodeLimit, deps.clock);
  }

  /** Never rejects. */
  async report({ token, host, message }: ReportCall): Promise<Answer> {
    if (token === undefined) return refused('UNAUTHENTICATED', 'the bearer token is missing');
    try {
      const caller = await this.#deps.authenticator.authenticate(token, host);
      if (caller.type === 'stranger') return refused('UNAUTHENTICATED', caller.reason);
      if (caller.type !== 'node') return refused('PERMISSION_DENIED', 'only node programs report');
      if (!this.#nodes.take(caller.node)) return refused('RESOURCE_EXHAUSTED', 'too many reports');
      return { type: 'taken', reply: this.#deps.take(caller.node, message.applied) };
    } catch (thrown) {
      const { code, message: why } = asMeshError(thrown);
      this.#deps.log.debug({ host, code }, `a report cannot be taken: ${why}`);
      return refused(code === 'OVERLOADED' ? 'RESOURCE_EXHAUSTED' : 'UNAVAILABLE', why);
    }
  }
}

const refused = (status: RefusalStatus, reason: string): Refusal => ({ type: 'refused', status, reason });
