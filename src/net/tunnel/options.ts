/** What bounds the engine: deadlines in milliseconds, counts per pod. Every limit has its reason here and nowhere else. */

export interface EngineOptions {
  /** A TCP connection, and for HBONE the TLS and HTTP/2 handshakes too, must stand within this. */
  readonly dialTimeoutMs: number;
  /** A route without an answer after this gets the next one beside it. A lost SYN is sent again after a second. */
  readonly nextRouteAfterMs: number;
  /** The peer answers CONNECT only after its own dial, so it gets longer than that dial may take. */
  readonly responseTimeoutMs: number;
  /** An inbound connection must have authenticated itself within this. */
  readonly handshakeTimeoutMs: number;
  /** Who connects waits so long for the pod's own certificate: a moment too early is common, and 10 s late is a hang. */
  readonly certificateTimeoutMs: number;
  /** What decides on a connection must have answered within this. */
  readonly decisionTimeoutMs: number;
  /** Distance of HTTP/2 PINGs. A connection that stays silent for twice as long after one is dead. */
  readonly keepaliveIntervalMs: number;
  /** A pooled connection without streams is given up after this. */
  readonly idleReleaseMs: number;
  /** A connection with one side closed on which nothing moves for this long is ended. */
  readonly halfCloseLingerMs: number;
  /** Streams we put on one connection, whatever the peer allows. */
  readonly maxStreamsPerTunnel: number;
  /** Connections and streams of one pod, both directions. */
  readonly maxConnectionsPerPod: number;
  /** Bytes held for applications of one pod that do not read, over all its connections. */
  readonly maxUnsentBytesPerPod: number;
  /** Inbound HBONE connections of one pod. */
  readonly maxTunnelsPerPod: number;
  /** Inbound TLS handshakes of one pod at a time: what strangers can make this node compute and hold. */
  readonly maxHandshakesPerPod: number;
}

export const defaultEngineOptions: EngineOptions = {
  dialTimeoutMs: 10_000,
  nextRouteAfterMs: 1000,
  responseTimeoutMs: 15_000,
  handshakeTimeoutMs: 10_000,
  certificateTimeoutMs: 2000,
  decisionTimeoutMs: 10_000,
  keepaliveIntervalMs: 10_000,
  idleReleaseMs: 300_000,
  halfCloseLingerMs: 300_000,
  maxStreamsPerTunnel: 100,
  maxConnectionsPerPod: 16_384,
  maxUnsentBytesPerPod: 256 << 20,
  maxTunnelsPerPod: 1024,
  maxHandshakesPerPod: 256,
};

/** TCP keepalive of every socket: an idle time after which the kernel probes, so that dead peers are noticed. */
export const keepaliveDelayMs = 60_000;
