/** What a peer may cost us beyond flow control. Exceeding one ends the connection with ENHANCE_YOUR_CALM (H2_LIMIT). */
import type { HeaderBlockLimits } from './header-block.ts';

export interface H2Limits extends HeaderBlockLimits {
  /** Bytes of a stream's send queue above which `send` returns false. */
  readonly sendQueueBytes: number;
  /**
   * Received bytes the owner may sit on, over all streams of the connection, before the connection's window stops being
   * renewed. Above the connection window, it leaves room for healthy streams beside stalled ones.
   */
  readonly unconsumedBytes: number;
  /** Frames queued for a peer that provokes replies and does not read them. */
  readonly queuedControlFrames: number;
  /**
   * Frames that move nothing: PING, SETTINGS, PRIORITY, unknown types, empty DATA, window updates. DATA in either
   * direction earns more of them, because it honestly causes window updates.
   */
  readonly idleFrames: BudgetSize;
  /**
   * Streams the peer made us work for in vain: it reset them before our response (CVE-2023-44487), or broke the protocol
   * on them so that we did (CVE-2025-8671). Resets of an established tunnel are free.
   */
  readonly wastedStreams: BudgetSize;
}

export interface BudgetSize {
  /** What may be spent at once. */
  readonly burst: number;
  readonly perSecond: number;
}

export const defaultLimits: H2Limits = {
  maxHeaderBlockBytes: 128 << 10,
  maxContinuations: 32,
  sendQueueBytes: 256 << 10,
  unconsumedBytes: 32 << 20,
  queuedControlFrames: 4096,
  idleFrames: { burst: 10_000, perSecond: 1000 },
  wastedStreams: { burst: 1000, perSecond: 100 },
};
