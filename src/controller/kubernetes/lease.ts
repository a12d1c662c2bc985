/**
 * Who leads, as a Lease says it. Pure. Other holders' clocks are not trusted: what counts is how long, by our own
 * clock, the Lease has not changed.
 */
import type { KubeObject } from '../../kube/client/kube-objects.ts';

export interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/** A Lease, and when it was first seen as it is, in milliseconds of our clock. */
export interface Observation {
  readonly lease: Lease;
  readonly since: number;
}

/** The leader stops leading by itself before anybody else may begin: 10 s without a renewal against 15 s. */
export const leaseTimes = { durationSeconds: 15, leadMs: 10_000, retryMs: 2_000 } as const;

export function observe(previous: Observation | undefined, lease: Lease, now: number): Observation {
  const unchanged = previous?.lease.metadata.resourceVersion === lease.metadata.resourceVersion;
  return { lease, since: previous !== undefined && unchanged ? previous.since : now };
}

/** Whether `me` may write itself into the Lease: it is mine, nobody's, or its holder has been silent for too long. */
export function mayTake({ lease, since }: Observation, me: string, now: number): boolean {
  const { holderIdentity = '', leaseDurationSeconds = leaseTimes.durationSeconds } = lease.spec ?? {};
  return holderIdentity === '' || holderIdentity === me || now - since >= leaseDurationSeconds * 1000;
}

/** The Lease with `me` as its holder, renewed now; undefined spec: it is the first one. */
export function taken({ metadata, spec }: Lease, me: string, now: number): Lease {
  const time = microTime(now);
  const mine = spec?.holderIdentity === me;
  return {
    metadata,
    spec: {
      holderIdentity: me,
      leaseDurationSeconds: leaseTimes.durationSeconds,
      acquireTime: mine ? (spec.acquireTime ?? time) : time,
      renewTime: time,
      leaseTransitions: (spec?.leaseTransitions ?? 0) + (mine || spec === undefined ? 0 : 1),
    },
  };
}

/** Nobody's: the next one need not wait. */
export const released = ({ metadata, spec }: Lease): Lease => ({
  metadata,
  spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1 },
});

const microTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');
