/** Holds a Lease for as long as it can: of several replicas, at most one leads at a time. */
import type { Clock } from '../../base/clock.ts';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { createObject, readObject, replaceObject } from '../../kube/client/kube-objects.ts';
import { resources } from '../../kube/client/resources.ts';
import { type Lease, leaseTimes, mayTake, type Observation, observe, released, taken } from './lease.ts';

export interface LeadershipDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface LeadershipOptions {
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Ours: the pod's name. */
  readonly identity: string;
}

export class Leadership {
  readonly #deps: LeadershipDeps;
  readonly #options: LeadershipOptions;
  #observed: Observation | undefined;
  #leadsUntil = 0;
  #wasLeading = false;
  #problem = '';
  #cancel: (() => void) | undefined;
  #stopped = false;
  #working: Promise<void> = Promise.resolve();

  constructor(deps: LeadershipDeps, options: LeadershipOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Ends by itself some seconds after the last renewal that went well. */
  readonly leading = (): boolean => this.#deps.clock.now() < this.#leadsUntil;

  /** Tries for the first time, and goes on trying. */
  async start(): Promise<void> {
    this.#working = this.#turn();
    await this.#working;
  }

  /** Lets somebody else lead at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#working;
    if (this.leading() && this.#observed !== undefined) await this.#release(this.#observed.lease);
  }

  async #turn(): Promise<void> {
    const { clock } = this.#deps;
    const began = clock.now();
    try {
      const lease = await this.#takeOrRenew(began);
      if (lease !== undefined) this.#leadsUntil = began + leaseTimes.leadMs;
      this.#problem = '';
    } catch (thrown) {
      this.#report(thrown);
    }
    this.#tell();
    if (!this.#stopped) {
      this.#cancel = clock.after(leaseTimes.retryMs, () => {
        this.#working = this.#turn();
      });
    }
  }

  /** The Lease if it is ours now. */
  async #takeOrRenew(now: number): Promise<Lease | undefined> {
    const { client } = this.#deps;
    const { namespace, name, identity } = this.#options;
    const found = await readObject<Lease>(client, resources.leases, { namespace, name });
    if (found === undefined) {
      const first = taken({ metadata: { namespace, name } }, identity, now);
      return this.#see(await createObject<Lease>(client, resources.leases, first), now);
    }
    this.#see(found, now);
    if (this.#observed === undefined || !mayTake(this.#observed, identity, now)) return undefined;
    return this.#see(await replaceObject<Lease>(client, resources.leases, taken(found, identity, now)), now);
  }

  #see(lease: Lease, now: number): Lease {
    this.#observed = observe(this.#observed, lease, now);
    return lease;
  }

  async #release(lease: Lease): Promise<void> {
    this.#leadsUntil = 0;
    try {
      await replaceObject<Lease>(this.#deps.client, resources.leases, released(lease));
    } catch (thrown) {
      this.#report(thrown);
    }
  }

  /** Another replica was faster: that is how it should be. The rest is said once, not every two seconds. */
  #report(thrown: unknown): void {
    const { code, message, hint } = asMeshError(thrown);
    const isRace = thrown instanceof MeshError && (code === 'CONFLICT' || code === 'ALREADY_EXISTS');
    if (isRace || message === this.#problem) return;
    this.#problem = message;
    this.#deps.log.warn({ code, hint }, `cannot ask who leads: ${message}`);
  }

  #tell(): void {
    const leads = this.leading();
    if (leads !== this.#wasLeading)
      this.#deps.log.info({ leads }, leads ? 'leading now' : 'no longer leading');
    this.#wasLeading = leads;
  }
}
