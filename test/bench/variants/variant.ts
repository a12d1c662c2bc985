/** One way to carry a connection from a client pod to a server pod: what is measured beside the others. */
import type { LabPod } from '../lab.ts';

/** From a node to another. */
export const acrossNodes = ['none', 'mesh', 'haproxy', 'ztunnel'] as const;
/**
 * Between two pods of one node. `node-accelerated`: the kernel path, and both pods ask for acceleration. `node-large`: the kernel path in
 * a large mesh, measured after all others.
 */
export const withinNode = [
  'node-none',
  'node-kernel',
  'node-accelerated',
  'node-hbone',
  'node-large',
] as const;
export const variantIds = [...acrossNodes, ...withinNode] as const;
export type VariantId = (typeof variantIds)[number];

export interface Variant extends AsyncDisposable {
  readonly id: VariantId;
  readonly client: LabPod;
  /** What a client dials to reach the server through this variant; ports are the server's own. */
  readonly host: string;
  /** Has the kernel ask about every pair anew, where it remembers some. */
  readonly forget?: (signal: AbortSignal) => Promise<void>;
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
