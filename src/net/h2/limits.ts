/** What a peer may cost us beyond flow control. Exceeding one ends the connection with ENHANCE_YOUR_CALM (H2_LIMIT). */

export interface H2Limits {
  /** Bytes of a stream's send queue above which `send` returns false. */
  readonly sendQueueHigh: number;
}

export const defaultLimits: H2Limits = {
  sendQueueHigh: 256 << 10,
};
