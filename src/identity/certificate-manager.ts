/**
 * The node's certificates: one per identity, fetched when first needed, renewed at half of their life, used to their
 * last second while the authority is away. At most one request per identity and a few in all are under way;
 * connections come before warm-up, warm-up before renewal. Private keys stay in memory, at most in the keeper's, which
 * gives them to the next worker.
 */
import { KeyObject } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { asMeshError, MeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Credentials, CredentialSource } from '../model/credentials.ts';
import { identityParts, type SpiffeId } from '../model/identity.ts';
import type { CaClient } from './ca-client.ts';
import { CertificateEntry, type CertificateStatus } from './certificate-entry.ts';
import { type CredentialVault, noVault } from './credential-vault.ts';
import { createCsr } from './csr.ts';
import { type IssuedCertificate, verifyIssued } from './issued-certificate.ts';
import { generateKeyPair, privateKeyPem } from './key-pair.ts';
import {
  type AlarmPercent,
  alarmAt,
  lifeUsed,
  minRetryMs,
  renewAt,
  retryDelayMs,
  urgencies,
} from './renewal.ts';

/** For metrics; called after the fact, must not throw. */
export interface CertificateObserver {
  obtained(identity: SpiffeId, certificate: IssuedCertificate): void;
  failed(identity: SpiffeId, error: MeshError): void;
  /** A share of the life has passed and renewal is failing; once per certificate and share. */
  alarm(identity: SpiffeId, percent: AlarmPercent): void;
}

export interface CertificateManagerDeps {
  readonly ca: CaClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly observer?: CertificateObserver;
  /** Keeps certificates for the next process; none by default. */
  readonly vault?: CredentialVault;
}

export interface CertificateManagerOptions {
  /** Lifetime to ask for; 24 hours. */
  readonly validitySeconds?: number;
  /** Requests under way at once; 4. */
  readonly concurrency?: number;
}

/** Timers look at the wall clock again after this long: it may have been set, and setTimeout has a maximum. */
const maxTimerMs = 3_600_000;

export class CertificateManager implements CredentialSource {
  readonly #deps: CertificateManagerDeps;
  readonly #validitySeconds: number;
  readonly #concurrency: number;
  readonly #vault: CredentialVault;
  readonly #entries = new Map<SpiffeId, CertificateEntry>();
  /** Due now, waiting for one of the few places. */
  readonly #queue = new Set<CertificateEntry>();
  /** As last told by `retain`; undefined until then, when every identity may be asked for. */
  #retained: ReadonlySet<SpiffeId> | undefined;
  #running = 0;
  #closed = false;

  constructor(deps: CertificateManagerDeps, options: CertificateManagerOptions = {}) {
    this.#deps = deps;
    this.#validitySeconds = options.validitySeconds ?? 86_400;
    this.#concurrency = options.concurrency ?? 4;
    this.#vault = deps.vault ?? noVault;
  }

  get(identity: SpiffeId, { signal }: { readonly signal: AbortSignal }): Promise<Credentials> {
    if (this.#closed) return Promise.reject(closing());
    if (this.#retained?.has(identity) === false) return Promise.reject(gone(identity));
    const entry = this.#entry(identity);
    const usable = entry.usable(this.#deps.clock.now());
    if (usable !== undefined) return Promise.resolve(usable);
    const first = !entry.demanded;
    const waiting = entry.wait(signal);
    if (first) this.#hurry(entry);
    return waiting;
  }

  /** The identities of this node's pods: fetches what is missing, forgets and refuses the rest. */
  retain(identities: ReadonlySet<SpiffeId>): void {
    if (this.#closed) return;
    this.#retained = identities;
    for (const entry of this.#entries.values()) {
      if (!identities.has(entry.identity)) this.#forget(entry, gone(entry.identity));
    }
    for (const identity of identities) this.#entry(identity);
  }

  /** False while every connection would be refused: certificates are needed, and not one is usable. */
  get serving(): boolean {
    const now = this.#deps.clock.now();
    const entries = [...this.#entries.values()];
    return entries.length === 0 || entries.some((entry) => entry.usable(now) !== undefined);
  }

  /** One row per identity, sorted by name. */
  status(): readonly CertificateStatus[] {
    const now = this.#deps.clock.now();
    const rows = [...this.#entries.values()].map((entry) => entry.status(now));
    return rows.toSorted((a, b) => (a.identity < b.identity ? -1 : 1));
  }

  /** Ends all requests and timers. Credentials handed out stay usable. */
  close(): void {
    this.#closed = true;
    for (const entry of this.#entries.values()) this.#forget(entry, closing());
  }

  /** Known, and if it is new and an earlier process left nothing of use, due at once. */
  #entry(identity: SpiffeId): CertificateEntry {
    const known = this.#entries.get(identity);
    if (known !== undefined) return known;
    const entry = new CertificateEntry(identity);
    this.#entries.set(identity, entry);
    if (!this.#takeOver(entry)) this.#enqueue(entry);
    return entry;
  }

  #takeOver(entry: CertificateEntry): boolean {
    const { clock, log } = this.#deps;
    const { identity } = entry;
    const now = clock.now();
    try {
      const kept = this.#vault.take(identity, now);
      if (kept === undefined) return false;
      entry.succeeded(kept.credentials, kept.certificate);
      this.#schedule(entry, renewAt(now, kept.certificate.notAfter, clock.random()) - now);
      log.info({ identity, serial: kept.certificate.serial }, 'certificate taken over');
      return true;
    } catch (thrown) {
      const { code, message } = asMeshError(thrown, 'CERTIFICATE_INVALID');
      log.warn({ identity, code }, `a certificate is not taken over: ${message}`);
      return false;
    }
  }

  #forget(entry: CertificateEntry, reason: MeshError): void {
    this.#entries.delete(entry.identity);
    this.#queue.delete(entry);
    entry.forget(reason);
    if (!this.#closed) this.#vault.forget(entry.identity);
  }

  /** A connection began to wait: no long backoff now, but no hammering either. */
  #hurry(entry: CertificateEntry): void {
    if (entry.cancelTimer === undefined) return;
    const sinceFailure = this.#deps.clock.now() - (entry.lastError?.at ?? -Infinity);
    this.#schedule(entry, Math.max(0, minRetryMs - Math.max(0, sinceFailure)));
  }

  #schedule(entry: CertificateEntry, delayMs: number): void {
    entry.cancelTimer?.();
    entry.nextAttemptAt = this.#deps.clock.now() + delayMs;
    entry.cancelTimer = this.#deps.clock.after(Math.min(delayMs, maxTimerMs), () => {
      entry.cancelTimer = undefined;
      const leftMs = (entry.nextAttemptAt ?? 0) - this.#deps.clock.now();
      if (delayMs > maxTimerMs && leftMs > 0) this.#schedule(entry, leftMs);
      else this.#enqueue(entry);
    });
  }

  #enqueue(entry: CertificateEntry): void {
    entry.nextAttemptAt = undefined;
    this.#queue.add(entry);
    this.#pump();
  }

  #pump(): void {
    while (this.#running < this.#concurrency && this.#queue.size > 0) {
      const next = this.#mostUrgent();
      this.#queue.delete(next);
      this.#running += 1;
      void this.#attempt(next).finally(() => {
        this.#running -= 1;
        this.#pump();
      });
    }
  }

  #mostUrgent(): CertificateEntry {
    const now = this.#deps.clock.now();
    const rank = (entry: CertificateEntry): number => urgencies.indexOf(entry.urgency(now));
    return [...this.#queue].reduce((best, entry) => (rank(entry) < rank(best) ? entry : best));
  }

  /** One request; whatever happens, the entry has its next attempt scheduled afterwards, unless it was forgotten. */
  async #attempt(entry: CertificateEntry): Promise<void> {
    const request = new AbortController();
    entry.request = request;
    try {
      const { credentials, certificate } = await this.#obtain(entry.identity, request.signal);
      if (!request.signal.aborted) this.#succeeded(entry, credentials, certificate);
    } catch (thrown) {
      if (!request.signal.aborted) this.#failed(entry, asMeshError(thrown));
    } finally {
      entry.request = undefined;
    }
  }

  async #obtain(identity: SpiffeId, signal: AbortSignal) {
    const keys = await generateKeyPair();
    const csr = await createCsr(identity, keys);
    const request = { identity, csr, validitySeconds: this.#validitySeconds };
    const answer = await this.#deps.ca.sign(request, { signal });
    const expected = {
      identity,
      privateKey: KeyObject.from(keys.privateKey),
      now: this.#deps.clock.now(),
    };
    const certificate = verifyIssued(answer, expected);
    const credentials: Credentials = {
      identity,
      trustDomain: identityParts(identity).trustDomain,
      certificateChain: certificate.certificateChain,
      privateKey: privateKeyPem(keys),
      trustedRoots: certificate.trustedRoots,
      notAfter: certificate.notAfter,
    };
    return { credentials, certificate };
  }

  #succeeded(entry: CertificateEntry, credentials: Credentials, certificate: IssuedCertificate): void {
    const { clock, log, observer } = this.#deps;
    const now = clock.now();
    entry.succeeded(credentials, certificate);
    this.#keep(credentials);
    this.#schedule(entry, renewAt(now, certificate.notAfter, clock.random()) - now);
    const { identity } = entry;
    const { serial } = certificate;
    log.info(
      { identity, serial, notAfter: new Date(certificate.notAfter).toISOString() },
      'certificate obtained',
    );
    observer?.obtained(identity, certificate);
  }

  /** A certificate that cannot be kept is as good as any while this process lives. */
  #keep(credentials: Credentials): void {
    const { identity } = credentials;
    try {
      this.#vault.keep(credentials);
    } catch (thrown) {
      const { code, message } = asMeshError(thrown);
      this.#deps.log.warn({ identity, code }, `a certificate will not outlive this process: ${message}`);
    }
  }

  #failed(entry: CertificateEntry, error: MeshError): void {
    const { clock, log, observer } = this.#deps;
    const { identity } = entry;
    const repeated = entry.lastError?.error.message === error.message;
    entry.failed(error, clock.now());
    const retryMs = retryDelayMs(entry.failures, clock.random(), entry.urgency(clock.now()));
    this.#schedule(entry, retryMs);
    const { code, message, hint } = error;
    const fields = { identity, code, hint, failures: entry.failures, retryMs: Math.round(retryMs) };
    log[repeated ? 'debug' : 'warn'](fields, `no certificate: ${message}`);
    observer?.failed(identity, error);
    this.#raiseAlarm(entry);
  }

  #raiseAlarm(entry: CertificateEntry): void {
    const { certificate, identity } = entry;
    if (certificate === undefined) return;
    const percent = alarmAt(lifeUsed(certificate, this.#deps.clock.now()));
    if (percent === undefined || percent <= (entry.alarmed ?? 0)) return;
    entry.alarmed = percent;
    const until = new Date(certificate.notAfter).toISOString();
    this.#deps.log.warn(
      { identity, percent, notAfter: until },
      `renewal fails and ${percent} % of the certificate’s life is over; connections end at ${until}`,
    );
    this.#deps.observer?.alarm(identity, percent);
  }
}

const gone = (identity: SpiffeId): MeshError =>
  new MeshError('CERTIFICATE_UNAVAILABLE', `no pod of this node has the identity ${identity}`);

const closing = (): MeshError => new MeshError('DRAINING', 'the certificate manager is shutting down');
