/** A certificate authority in memory for tests of the node's side: real certificates, by the test's clock. */
import type { Clock } from '../../../../src/base/clock.ts';
import type { MeshError } from '../../../../src/base/errors.ts';
import { makeIntermediate, makeLeaf, makeRoot, type Signer } from '../../../../src/controller/ca/issue.ts';
import { readCsr } from '../../../../src/controller/ca/csr.ts';
import type { CaClient, SigningRequest } from '../../../../src/identity/ca-client.ts';
import { parseSpiffeId, parseTrustDomain, type SpiffeId } from '../../../../src/model/identity.ts';
import { flushPromises } from '../../../support/fake-clock.ts';

export const trustDomain = parseTrustDomain('cluster.local');
export const idOf = (name: string): SpiffeId => parseSpiffeId(`spiffe://cluster.local/ns/shop/sa/${name}`);

export const hourMs = 3_600_000;
const minuteMs = 60_000;

export class FakeCa implements CaClient {
  readonly #clock: Clock;
  readonly #root: Signer;
  readonly #intermediate: Signer;
  /** Every request, in order of arrival. */
  readonly requests: SpiffeId[] = [];
  /** Requests under way now, and the most there ever were. */
  running = 0;
  mostRunning = 0;
  /** While set, every request fails with it. */
  failure: MeshError | undefined;
  /** How far its clock is ahead of the node's. */
  clockAheadMs = 0;
  lifetimeMs = 24 * hourMs;
  /** Signs for this identity instead of the one asked for. */
  impostor: SpiffeId | undefined;
  /** While set, requests wait for it. */
  gate: Promise<void> | undefined;

  private constructor(clock: Clock, root: Signer, intermediate: Signer) {
    this.#clock = clock;
    this.#root = root;
    this.#intermediate = intermediate;
  }

  static async create(clock: Clock): Promise<FakeCa> {
    const validity = { notBefore: clock.now() - 100 * hourMs, notAfter: clock.now() + 10_000 * hourMs };
    const root = await makeRoot(trustDomain, validity);
    return new FakeCa(clock, root, await makeIntermediate(trustDomain, root, validity));
  }

  get root(): string {
    return this.#root.certificate;
  }

  async sign(
    { identity, csr }: SigningRequest,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<readonly string[]> {
    this.requests.push(identity);
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    try {
      await this.gate;
      signal.throwIfAborted();
      if (this.failure !== undefined) throw this.failure;
      return await this.#issue(this.impostor ?? identity, csr);
    } finally {
      this.running -= 1;
    }
  }

  close(): void {}

  async #issue(identity: SpiffeId, csr: string): Promise<readonly string[]> {
    const { publicKey } = await readCsr(csr);
    const now = this.#clock.now() + this.clockAheadMs;
    const validity = { notBefore: now - 15 * minuteMs, notAfter: now + this.lifetimeMs };
    const leaf = await makeLeaf(this.#intermediate, publicKey, identity, validity);
    return [leaf, this.#intermediate.certificate, this.#root.certificate];
  }
}

/** A promise and its resolution, to hold requests back. */
export function gate(): { readonly promise: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { promise, open: resolve };
}

/** Waits, without the clock, for work on other threads (key generation, signing). */
export async function until(condition: () => boolean): Promise<void> {
  const giveUp = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > giveUp) throw new Error(`never happened: ${condition.toString()}`);
    await flushPromises();
  }
}
