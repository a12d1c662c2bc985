/** One way to carry a connection from a client pod to a server pod: what is measured beside the others. */
import type { LabPod } from '../lab.ts';

export const variantIds = ['none', 'mesh', 'haproxy', 'ztunnel'] as const;
export type VariantId = (typeof variantIds)[number];

export interface Variant extends AsyncDisposable {
  readonly id: VariantId;
  readonly client: LabPod;
  /** What a client dials to reach the server through this variant; ports are the server's own. */
  readonly host: string;
  /** Process ids of the proxies of both sides; none without a proxy. */
  proxies(): readonly number[];
}

/** What a variant is made from. */
export interface VariantContext {
  readonly client: LabPod;
  readonly server: LabPod;
  /** A directory of its own, for configuration and logs. */
  readonly directory: string;
  readonly signal: AbortSignal;
}
