/**
 * `TunnelEngine`: the contract between whoever moves the bytes and whoever decides. An engine owns every socket of
 * the data path from the first byte to the last; it asks a `ConnectionDecider` once per connection and reports
 * progress through the `ConnectionObserver` the decision names. Neither Node streams nor TLS objects cross this
 * line, so a native engine can stand behind it. `test/contract/engine` is the definition in executable form.
 */
import type { MeshError } from '../base/errors.ts';
import type { IpAddress, SocketAddress } from '../base/ip.ts';
import type { Hop } from '../model/connection.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { WorkloadUid } from '../model/mesh.ts';
import type { Fd } from '../native/binding.ts';

/** A pod as the engine sees it: where its sockets are made, and as whom it speaks. */
export interface EnginePod {
  readonly uid: WorkloadUid;
  readonly identity: SpiffeId;
  readonly addresses: readonly IpAddress[];
  /** Path of its network namespace, for the sockets the engine dials. */
  readonly netns: string;
}

/** Listening sockets inside the pod's namespace. The engine owns them from `addPod` on. */
export interface PodListeners {
  readonly outbound: Fd;
  readonly plaintext: Fd;
  readonly hbone: Fd;
}

/** A captured connection an application of `pod` opened; accepted, nothing read yet. */
export interface OutboundArrival {
  readonly type: 'outbound';
  readonly pod: EnginePod;
  /** The application's end. */
  readonly client: SocketAddress;
  /** The accepted socket's local end: the capture port, or what the application dialled if it dialled that. */
  readonly local: SocketAddress;
}

/** A plaintext connection that came in for `pod`; accepted, nothing read yet. */
export interface PlaintextArrival {
  readonly type: 'plaintext';
  readonly pod: EnginePod;
  readonly client: SocketAddress;
  /** Where it was going: the accepted socket's local end. */
  readonly local: SocketAddress;
}

/** A CONNECT request on an authenticated HBONE connection that came in for `pod`. */
export interface HboneArrival {
  readonly type: 'hbone';
  readonly pod: EnginePod;
  /** Far end of the TLS connection. */
  readonly client: SocketAddress;
  readonly local: SocketAddress;
  /** From the peer's verified certificate. */
  readonly peerIdentity: SpiffeId;
  /** Verbatim `:authority`: untrusted. */
  readonly authority: string;
  /** Lower-case names; untrusted, never for decisions about access. */
  readonly headers: ReadonlyMap<string, string>;
}

export type Arrival = OutboundArrival | PlaintextArrival | HboneArrival;

/** Plain TCP to `target` from inside the pod's namespace. */
export interface DirectRoute {
  readonly type: 'direct';
  readonly target: SocketAddress;
  /** Local address to show: the real client's, kept without rewriting packets. */
  readonly source: IpAddress | undefined;
}

/** A stream of a pooled HBONE connection to another ztunnel. */
export interface HboneRoute {
  readonly type: 'hbone';
  /** The TLS connection's far end, `POD:15008`. */
  readonly via: SocketAddress;
  /** `:authority`: where the stream is to go behind it. */
  readonly target: SocketAddress;
  /** The peer must prove one of these. */
  readonly expectedIdentities: readonly SpiffeId[];
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export type Route = DirectRoute | HboneRoute;

export type Decision =
  | {
      readonly type: 'forward';
      /** Tried in order until one answers; never after a byte has moved. At least one. */
      readonly routes: readonly Route[];
      /**
       * Asked for another when these have failed or are slow, so that it is chosen from the mesh as it is then.
       * Undefined: there is none just now.
       */
      readonly furtherRoute?: () => Route | undefined;
      /** Response headers, for HBONE arrivals. */
      readonly responseHeaders?: readonly (readonly [name: string, value: string])[];
      readonly observer: ConnectionObserver;
    }
  | {
      readonly type: 'refuse';
      /** Its code decides between 400, 401 and 503 for HBONE arrivals (`hbone-status.ts`); others are reset. */
      readonly error: MeshError;
      /** Where it was refused, for `finished`. */
      readonly hop: Hop;
      readonly observer: ConnectionObserver;
    };

/** Live byte counts of one connection, seen from the arriving side. */
export interface ByteCounts {
  /** Bytes from the arrival's client onwards. */
  readonly sent: number;
  /** Bytes back to the arrival's client. */
  readonly received: number;
}

/** A connection in progress. */
export interface LiveControl {
  counts(): ByteCounts;
  /** Ends it with this error as its outcome. */
  close(error: MeshError): void;
}

/** One connection's story, told by the engine. `finished` is called exactly once, whatever happens. */
export interface ConnectionObserver {
  /** The route that answered. */
  established(route: Route, live: LiveControl): void;
  /** A route failed; the next is tried if there is one. */
  routeFailed(route: Route, failure: EngineFailure): void;
  /** A route has not answered for a while; the next is tried beside it if there is one. */
  routeSlow(route: Route): void;
  finished(outcome: { readonly counts: ByteCounts; readonly failure: EngineFailure | undefined }): void;
}

export interface EngineFailure {
  readonly hop: Hop;
  readonly error: MeshError;
}

/** Decides; pure but for what it reads. A rejected promise refuses the connection with INTERNAL. */
export interface ConnectionDecider {
  decide(arrival: Arrival): Decision | Promise<Decision>;
  /** A connection that ended before there was anything to decide (TLS failure, garbage): for the log. */
  rejected(
    arrival: { readonly pod: EnginePod; readonly client: SocketAddress; readonly local: SocketAddress },
    failure: EngineFailure,
  ): void;
}

/** `leaving`: still there, and others are to be preferred. `gone`: nobody will answer at this address. */
export type Departure = 'leaving' | 'gone';

export interface EngineStats {
  readonly connections: number;
  /** HBONE connections this node dialled / accepted. */
  readonly tunnelsOut: number;
  readonly tunnelsIn: number;
  /** Bytes held in user space on behalf of all connections. */
  readonly bufferedBytes: number;
}

export interface TunnelEngine {
  /** Starts to serve a pod. The same uid again replaces its identity and addresses, not its sockets. */
  addPod(pod: EnginePod, listeners: PodListeners): void;
  /** Stops accepting for a pod and ends its connections with POD_REMOVED, those of a retired pod too. */
  removePod(uid: WorkloadUid): void;
  /** Stops accepting for a pod, whose connections go on; resolves when the last of them has ended. */
  retirePod(uid: WorkloadUid): Promise<void>;
  /**
   * Of a peer, on any node. Who waits for a connection to it tries another route: beside it when it is leaving, instead
   * of it when it is gone. No new stream is opened in a tunnel to a peer that is gone; those that are open go on.
   */
  peerDeparts(ip: IpAddress, departure: Departure): void;
  stats(): EngineStats;
  /** Stops accepting, sends GOAWAY, lets streams finish until `deadline` fires, then destroys what is left. */
  drain(deadline: AbortSignal): Promise<void>;
  /** Ends everything now. */
  destroy(error: MeshError): void;
}
