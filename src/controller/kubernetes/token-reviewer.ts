/**
 * Authenticates node programs by their pods' projected tokens: the API server reviews each token, which proves that
 * it signed it, that it has not expired, that its pod still exists, and on which node that pod is. A node can thus
 * only be the node it is: the token of another node proves that other node, and gives its pods' identities only.
 *
 * Without an API server nobody can be authenticated, and requests fail (UNAVAILABLE) rather than being granted on
 * trust: the nodes keep the certificates they have, and a certificate lives long enough to outlast an outage. Answers
 * are kept for a minute at most, never beyond the token's own end, so that a node with a hundred pods costs one
 * review; that minute is also how long a deleted pod's token may still count.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { pathOf, resources } from '../../kube/client/resources.ts';
import type { NodeName } from '../../model/mesh.ts';
import { type Authenticator, type Caller, type Stranger, stranger } from '../caller.ts';
import { type RateLimit, RateLimiter } from '../rate-limiter.ts';
import type { PodsByNode } from './pods-by-node.ts';
import { type Expected, judgeReview, notBound, parseReview, type ProvenPod } from './review-verdict.ts';
import { readClaims } from './service-account-token.ts';

export interface TokenReviewerDeps {
  readonly client: KubeClient;
  readonly pods: Pick<PodsByNode, 'nodeOf'>;
  readonly clock: Clock;
}

type Answer = Caller | Stranger;

interface Remembered {
  readonly until: number;
  readonly answer: Promise<Answer>;
}

export const acceptedMs = 60_000;
/** A pod that was just made may be refused once; it shall not be for long. */
const refusedMs = 5_000;
/** Nodes of the largest clusters, and what strangers may occupy beside them. */
const limits = { accepted: 10_000, refused: 1_000, tokenLength: 16 * 1024 };
/** Reviews for each address: a node needs one a minute, a guesser should not get the API server to work. */
const reviewLimit: RateLimit = { perSecond: 0.5, burst: 20 };

export class TokenReviewer implements Authenticator {
  readonly #deps: TokenReviewerDeps;
  readonly #expected: Expected;
  readonly #reviews: RateLimiter;
  /** By the token's hash, oldest first; of strangers apart, so that they cannot push out nodes. */
  readonly #accepted = new Map<string, Remembered>();
  readonly #refused = new Map<string, Remembered>();
  /** Many requests with one token arrive at once. */
  readonly #asking = new Map<string, Promise<Answer>>();

  constructor(deps: TokenReviewerDeps, expected: Expected) {
    this.#deps = deps;
    this.#expected = expected;
    this.#reviews = new RateLimiter(reviewLimit, deps.clock);
  }

  async authenticate(token: string, peer: string): Promise<Answer> {
    const expiresAt = this.#plausibleUntil(token);
    if (typeof expiresAt !== 'number') return expiresAt;
    const key = createHash('sha256').update(token).digest('base64');
    return await (this.#remembered(key) ?? this.#asking.get(key) ?? this.#ask(key, token, peer, expiresAt));
  }

  /** When the token ends by its own word, or why asking the API server is pointless. */
  #plausibleUntil(token: string): number | Stranger {
    const claims = token.length > limits.tokenLength ? undefined : readClaims(token);
    if (claims === undefined) return stranger('the bearer token is not a Kubernetes service account’s');
    const { audience } = this.#expected;
    if (!claims.audiences.includes(audience)) {
      return stranger(`the token is for ${claims.audiences.join(', ')}, not for the audience ${audience}`);
    }
    if (!claims.podBound) return notBound;
    if (claims.expiresAt > this.#deps.clock.now()) return claims.expiresAt;
    const ended = new Date(claims.expiresAt).toISOString();
    return stranger(`the token expired at ${ended}; is the kubelet renewing it, and is the clock right?`);
  }

  #remembered(key: string): Promise<Answer> | undefined {
    const known = this.#accepted.get(key) ?? this.#refused.get(key);
    return known !== undefined && this.#deps.clock.now() < known.until ? known.answer : undefined;
  }

  #ask(key: string, token: string, peer: string, expiresAt: number): Promise<Answer> {
    if (!this.#reviews.take(peer)) {
      throw new MeshError('OVERLOADED', `too many new tokens from ${peer}; retry with a growing delay`);
    }
    const answer = this.#review(token).then((given) => {
      this.#remember(key, given, expiresAt);
      return given;
    });
    this.#asking.set(key, answer);
    const done = (): boolean => this.#asking.delete(key);
    answer.then(done, done);
    return answer;
  }

  #remember(key: string, answer: Answer, expiresAt: number): void {
    const isStranger = answer.type === 'stranger';
    const [kept, room] = isStranger ? [this.#refused, limits.refused] : [this.#accepted, limits.accepted];
    const until = Math.min(this.#deps.clock.now() + (isStranger ? refusedMs : acceptedMs), expiresAt);
    for (const each of [this.#accepted, this.#refused]) each.delete(key);
    kept.set(key, { until, answer: Promise.resolve(answer) });
    const oldest = kept.keys().next().value;
    if (kept.size > room && oldest !== undefined) kept.delete(oldest);
  }

  async #review(token: string): Promise<Answer> {
    const answer = await this.#deps.client.request({
      method: 'POST',
      path: pathOf(resources.tokenReviews),
      body: {
        apiVersion: resources.tokenReviews.apiVersion,
        kind: resources.tokenReviews.kind,
        spec: { token, audiences: [this.#expected.audience] },
      },
    });
    const verdict = judgeReview(parseReview(answer), this.#expected);
    return verdict.type === 'stranger' ? verdict : await this.#callerOf(verdict);
  }

  async #callerOf(pod: ProvenPod): Promise<Answer> {
    const node = pod.node ?? (await this.#deps.pods.nodeOf(pod));
    if (node === undefined)
      return stranger(`the token’s pod ${pod.namespace}/${pod.name} is gone or on no node`);
    return { type: 'node', node: node as NodeName };
  }
}
