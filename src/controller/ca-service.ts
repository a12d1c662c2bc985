/**
 * `IstioCertificateService/CreateCertificate` without its transport: authenticate, limit, read the request, ask the
 * policy, sign; one audit line for each answer. A refusal is a value. `ca-server.ts` puts it on the wire.
 */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { asMeshError, type ErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { identityParts, parseSpiffeId, type SpiffeId } from '../model/identity.ts';
import type { IstioCertificateRequest } from '../rpc/generated/ca.ts';
import type { CertificateAuthority } from './ca/authority.ts';
import { readCsr, type SigningSubject } from './ca/csr.ts';
import {
  type Authenticator,
  type Caller,
  callerName,
  type IssuancePolicy,
  type IssuanceVerdict,
  ownIdentity,
  refused,
  type Stranger,
  stranger,
} from './caller.ts';
import { type RateLimit, RateLimiter } from './rate-limiter.ts';

/** Names of gRPC status codes. */
export type RefusalStatus =
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'INVALID_ARGUMENT'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAVAILABLE'
  | 'INTERNAL';

export interface Refusal {
  readonly type: 'refused';
  readonly status: RefusalStatus;
  /** For the caller: what is wrong and what to do. */
  readonly reason: string;
}

export interface Issued {
  readonly type: 'issued';
  /** The leaf, the intermediates one by one, last all roots in one element: what ztunnel expects. */
  readonly certificateChain: readonly string[];
}

export interface SigningCall {
  /** From `authorization: Bearer …`. */
  readonly token: string | undefined;
  /** Address of the other end, for the audit line. */
  readonly peer: string;
  readonly message: IstioCertificateRequest;
}

export interface CaServiceDeps {
  readonly authority: Pick<CertificateAuthority, 'issue' | 'trustDomain'>;
  readonly authenticator: Authenticator;
  readonly policy: IssuancePolicy;
  readonly clock: Clock;
  readonly log: Logger;
  /** Hears how each request was answered: `issued`, or the refusal's status. */
  readonly answered?: (result: string) => void;
  /** For each caller; the default lets a full node fetch everything at once. */
  readonly limit?: RateLimit;
}

const callerLimit: RateLimit = { perSecond: 20, burst: 500 };
/** Log lines about wrong tokens, for each address: noise must not hide the rest of the audit log. */
const strangerLogLimit: RateLimit = { perSecond: 0.1, burst: 10 };

export class CaService {
  readonly #deps: CaServiceDeps;
  readonly #callers: RateLimiter;
  readonly #strangers: RateLimiter;

  constructor(deps: CaServiceDeps) {
    this.#deps = deps;
    this.#callers = new RateLimiter(deps.limit ?? callerLimit, deps.clock);
    this.#strangers = new RateLimiter(strangerLogLimit, deps.clock);
  }

  /** Never rejects. */
  async create(call: SigningCall): Promise<Issued | Refusal> {
    const answer = await this.#answer(call);
    this.#deps.answered?.(answer.type === 'issued' ? 'issued' : answer.status);
    return answer;
  }

  async #answer(call: SigningCall): Promise<Issued | Refusal> {
    try {
      const caller = await this.#authenticate(call);
      return caller.type === 'stranger'
        ? this.#stranger(call.peer, caller.reason)
        : await this.#serve(caller, call);
    } catch (thrown) {
      return this.#broken(call.peer, thrown);
    }
  }

  async #authenticate({ token, peer }: SigningCall): Promise<Caller | Stranger> {
    if (token === undefined) return tokenMissing;
    return await this.#deps.authenticator.authenticate(token, hostOf(peer));
  }

  async #serve(caller: Caller, { message, peer }: SigningCall): Promise<Issued | Refusal> {
    const audit = { caller: callerName(caller), peer };
    if (!this.#callers.take(callerName(caller))) {
      return this.#refuse(audit, 'RESOURCE_EXHAUSTED', 'too many requests; retry with a growing delay');
    }
    const own = ownIdentity(caller, this.#deps.authority.trustDomain);
    const wanted = await readWish(message, own);
    if ('status' in wanted) return this.#refuse(audit, wanted.status, wanted.reason);
    const verdict = await this.#decide(caller, wanted.identity);
    if (!verdict.allowed) {
      return this.#refuse({ ...audit, identity: wanted.identity }, 'PERMISSION_DENIED', verdict.reason);
    }
    return this.#issue(audit, wanted, validityMs(message));
  }

  async #decide(caller: Caller, identity: SpiffeId): Promise<IssuanceVerdict> {
    const { authority, policy } = this.#deps;
    if (identityParts(identity).trustDomain === authority.trustDomain)
      return await policy.decide(caller, identity);
    return refused(`this authority is for trust domain ${authority.trustDomain} only`);
  }

  async #issue(audit: object, { identity, publicKey }: Wish, wantedMs: number): Promise<Issued> {
    const leaf = await this.#deps.authority.issue(identity, publicKey, wantedMs);
    const serial = new X509Certificate(leaf.chain[0] ?? '').serialNumber;
    const notAfter = new Date(leaf.notAfter).toISOString();
    this.#deps.log.info({ audit: 'issued', ...audit, identity, serial, notAfter }, 'certificate issued');
    return { type: 'issued', certificateChain: [...leaf.chain, leaf.roots.join('')] };
  }

  #refuse(audit: object, status: RefusalStatus, reason: string): Refusal {
    this.#deps.log.warn({ audit: 'refused', ...audit, status, reason }, 'certificate refused');
    return { type: 'refused', status, reason };
  }

  #stranger(peer: string, reason: string): Refusal {
    const status = 'UNAUTHENTICATED';
    if (this.#strangers.take(hostOf(peer))) return this.#refuse({ peer }, status, reason);
    return { type: 'refused', status, reason };
  }

  /** Our own fault: the details are for our log, not for the caller. */
  #broken(peer: string, thrown: unknown): Refusal {
    const { code, message, hint } = asMeshError(thrown);
    const status = statusOf[code] ?? 'INTERNAL';
    if (status === 'RESOURCE_EXHAUSTED') return this.#tooOften(peer, message);
    this.#deps.log.error({ audit: 'failed', peer, code, hint }, `cannot issue certificates: ${message}`);
    // A missing permission is no secret, and whoever reads the node's status is who can give it.
    const what = code === 'API_FORBIDDEN' ? message : `the certificate authority has a problem (${code})`;
    const reason = `${what}; its log says more`;
    return { type: 'refused', status, reason };
  }

  #tooOften(peer: string, reason: string): Refusal {
    if (this.#strangers.take(hostOf(peer))) return this.#refuse({ peer }, 'RESOURCE_EXHAUSTED', reason);
    return { type: 'refused', status: 'RESOURCE_EXHAUSTED', reason };
  }
}

/** What the caller shall do: try again soon, try again later; anything else is ours to mend. */
const statusOf: Partial<Record<ErrorCode, RefusalStatus>> = {
  UNAVAILABLE: 'UNAVAILABLE',
  TIMEOUT: 'UNAVAILABLE',
  API_FORBIDDEN: 'UNAVAILABLE',
  OVERLOADED: 'RESOURCE_EXHAUSTED',
};

const tokenMissing = stranger('the bearer token is missing; give the node its token file');

/** The address of `ADDRESS:PORT`: whoever dials again has another port. */
export const hostOf = (peer: string): string => peer.replace(/:\d+$/, '');

type Wish = SigningSubject & { readonly identity: SpiffeId };

/** Whom the request asks to be: by its metadata, its SAN, or the token; those that are given must agree. */
async function readWish(
  message: IstioCertificateRequest,
  own: SpiffeId | undefined,
): Promise<Wish | Omit<Refusal, 'type'>> {
  try {
    const subject = await readCsr(message.csr);
    const named = message.metadata?.fields.get('ImpersonatedIdentity')?.stringValue;
    const impersonated = named === undefined || named === '' ? undefined : parseSpiffeId(named);
    if (impersonated !== undefined && subject.identity !== undefined && impersonated !== subject.identity) {
      return invalid(`the request asks for ${impersonated}, its CSR for ${subject.identity}`);
    }
    const identity = impersonated ?? subject.identity ?? own;
    if (identity === undefined) return invalid('the request names no identity; put the SPIFFE ID in the CSR');
    return { identity, publicKey: subject.publicKey };
  } catch (thrown) {
    const { message: reason, hint } = asMeshError(thrown);
    return invalid(hint === undefined ? reason : `${reason}; ${hint}`);
  }
}

const invalid = (reason: string) => ({ status: 'INVALID_ARGUMENT', reason }) as const;

/** 0, a negative or an absurd value leaves it to the authority. */
function validityMs({ validityDuration }: IstioCertificateRequest): number {
  const seconds = Number(validityDuration);
  return seconds > 0 ? seconds * 1000 : 0;
}
