/**
 * What the certificate manager knows of one identity: the certificate in use, the last failure, and the connections
 * waiting. Holds state and answers questions about it; when to act is the manager's business.
 */
import { MeshError } from '../base/errors.ts';
import type { Credentials } from '../model/credentials.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { IssuedCertificate } from './issued-certificate.ts';
import { type AlarmPercent, lifeUsed, type Urgency } from './renewal.ts';

/** `stale`: in use, but its renewal fails. `failed` and `expired`: connections of this identity are refused. */
export type CertificateState = 'pending' | 'valid' | 'stale' | 'expired' | 'failed';

/** For the CLI and `config_dump`. No secrets. Times are milliseconds since the epoch. */
export interface CertificateStatus {
  readonly identity: SpiffeId;
  readonly state: CertificateState;
  readonly certificate: IssuedCertificate | undefined;
  /** 0 to 1. */
  readonly lifeUsed: number | undefined;
  readonly nextAttemptAt: number | undefined;
  readonly requesting: boolean;
  readonly failures: number;
  readonly lastError: { readonly at: number; readonly error: MeshError } | undefined;
}

interface Waiter {
  resolve(credentials: Credentials): void;
  reject(error: MeshError): void;
}

export class CertificateEntry {
  readonly identity: SpiffeId;
  readonly #waiters = new Set<Waiter>();
  #held: { readonly credentials: Credentials; readonly certificate: IssuedCertificate } | undefined;
  #failures = 0;
  #lastError: { readonly at: number; readonly error: MeshError } | undefined;
  /** Cancels the timer for the next attempt. */
  cancelTimer: (() => void) | undefined;
  nextAttemptAt: number | undefined;
  /** The request under way. */
  request: AbortController | undefined;
  /** The last alarm raised for the certificate in use. */
  alarmed: AlarmPercent | undefined;

  constructor(identity: SpiffeId) {
    this.identity = identity;
  }

  get demanded(): boolean {
    return this.#waiters.size > 0;
  }

  urgency(now: number): Urgency {
    if (this.demanded) return 'demanded';
    return this.usable(now) === undefined ? 'missing' : 'renewal';
  }

  get failures(): number {
    return this.#failures;
  }

  get lastError(): { readonly at: number; readonly error: MeshError } | undefined {
    return this.#lastError;
  }

  get certificate(): IssuedCertificate | undefined {
    return this.#held?.certificate;
  }

  usable(now: number): Credentials | undefined {
    const credentials = this.#held?.credentials;
    return credentials !== undefined && now < credentials.notAfter ? credentials : undefined;
  }

  succeeded(credentials: Credentials, certificate: IssuedCertificate): void {
    this.#held = { credentials, certificate };
    this.#failures = 0;
    this.#lastError = undefined;
    this.alarmed = undefined;
    for (const waiter of this.#waiters) waiter.resolve(credentials);
    this.#waiters.clear();
  }

  /** Connections go on waiting: the next attempt may succeed within their patience. */
  failed(error: MeshError, at: number): void {
    this.#failures += 1;
    this.#lastError = { at, error };
  }

  /** Settles when a certificate is there, or with CERTIFICATE_UNAVAILABLE when the signal fires first. */
  wait(signal: AbortSignal): Promise<Credentials> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiters.delete(waiter);
        reject(this.#unavailable());
      };
      const done = (): void => signal.removeEventListener('abort', abort);
      const waiter: Waiter = {
        resolve: (credentials) => (done(), resolve(credentials)),
        reject: (error) => (done(), reject(error)),
      };
      this.#waiters.add(waiter);
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
    });
  }

  /** Ends everything: nobody needs this identity any more. */
  forget(error: MeshError): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.request?.abort();
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#waiters.clear();
  }

  status(now: number): CertificateStatus {
    const certificate = this.#held?.certificate;
    return {
      identity: this.identity,
      state: this.#state(now),
      certificate,
      lifeUsed: certificate === undefined ? undefined : lifeUsed(certificate, now),
      nextAttemptAt: this.nextAttemptAt,
      requesting: this.request !== undefined,
      failures: this.#failures,
      lastError: this.#lastError,
    };
  }

  #state(now: number): CertificateState {
    const failing = this.#lastError !== undefined;
    if (this.usable(now) !== undefined) return failing ? 'stale' : 'valid';
    if (this.#held !== undefined) return 'expired';
    return failing ? 'failed' : 'pending';
  }

  #unavailable(): MeshError {
    const cause = this.#lastError?.error;
    const reason = cause?.message ?? 'the certificate authority has not answered yet';
    return new MeshError('CERTIFICATE_UNAVAILABLE', `no certificate for ${this.identity}: ${reason}`, {
      cause,
      hint: cause?.hint ?? 'run: mesh-ebpf certs',
    });
  }
}
