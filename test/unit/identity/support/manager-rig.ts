/** A certificate manager with a clock that tests move, an authority in memory, and notes of what it logged. */
import { MeshError } from '../../../../src/base/errors.ts';
import { type Logger, silentLogger } from '../../../../src/base/log.ts';
import {
  CertificateManager,
  type CertificateObserver,
} from '../../../../src/identity/certificate-manager.ts';
import type { CertificateStatus } from '../../../../src/identity/certificate-entry.ts';
import type { Credentials } from '../../../../src/model/credentials.ts';
import type { SpiffeId } from '../../../../src/model/identity.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FakeCa, idOf, until } from './fake-ca.ts';

export const minuteMs = 60_000;
export const web = idOf('web');
export const db = idOf('db');
export const away = new MeshError('UNAVAILABLE', 'the certificate authority is away', { hint: 'start it' });

const patience = (): AbortSignal => new AbortController().signal;

export class ManagerRig {
  readonly clock: FakeClock;
  readonly ca: FakeCa;
  readonly lines: string[] = [];
  readonly alarms: number[] = [];
  manager: CertificateManager;

  private constructor(clock: FakeClock, ca: FakeCa) {
    this.clock = clock;
    this.ca = ca;
    this.manager = this.#newManager({});
  }

  static async create(): Promise<ManagerRig> {
    const clock = new FakeClock();
    return new ManagerRig(clock, await FakeCa.create(clock));
  }

  /** With other options. */
  restart(options: { readonly concurrency?: number }): void {
    this.manager.close();
    this.manager = this.#newManager(options);
  }

  get(identity: SpiffeId, signal = patience()): Promise<Credentials> {
    return this.manager.get(identity, { signal });
  }

  row(identity = web): CertificateStatus | undefined {
    return this.manager.status().find((status) => status.identity === identity);
  }

  idle(): Promise<void> {
    return until(() =>
      this.manager.status().every(({ requesting, nextAttemptAt }) => !requesting && nextAttemptAt),
    );
  }

  /** Moves time and waits until what fell due then is done. */
  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await this.idle();
  }

  #newManager(options: { readonly concurrency?: number }): CertificateManager {
    const { ca, clock } = this;
    return new CertificateManager({ ca, clock, log: this.#log(), observer: this.#observer() }, options);
  }

  #log(): Logger {
    const at = (level: string) => (fields: object, message: string) =>
      void this.lines.push(JSON.stringify({ level, message, ...fields }));
    const log: Logger = {
      ...silentLogger,
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: () => log,
    };
    return log;
  }

  #observer(): CertificateObserver {
    return { obtained() {}, failed() {}, alarm: (_identity, percent) => void this.alarms.push(percent) };
  }
}
