/** What the kernel knows of Services: how it draws an endpoint, or goes on with a session. See `layout.ts`. */
import type { IpAddress } from '../../base/ip.ts';
import { address, bits, u16, u32, u64 } from './field.ts';
import { struct, type StructLayout } from './struct.ts';

/** `enum mesh_service_flag`. */
export const serviceFlags = { leaves: 1 } as const;

/** What an application dials. */
export interface ServiceAddress {
  readonly ip: IpAddress;
  readonly port: number;
}

/** What a pod of this node may get there, each endpoint as likely as the other; or that of its session. */
export interface ServiceEntry {
  /** Of its entries in `endpoints`; another one with every change. */
  readonly generation: number;
  /** How many endpoints take the kernel path. */
  readonly kernel: number;
  readonly total: number;
  readonly flags: Readonly<Record<keyof typeof serviceFlags, boolean>>;
  /** Nothing is drawn: clients have sessions, which last so long after their last connection; 0: they do not. */
  readonly sessionMs: number;
}

export interface EndpointKey {
  readonly service: ServiceAddress;
  readonly generation: number;
  readonly index: number;
}

/** One that takes the kernel path. */
export interface EndpointEntry {
  readonly ip: IpAddress;
  readonly port: number;
}

export interface SessionKey {
  /** The first address that the pod has of the family. */
  readonly client: IpAddress;
  readonly service: ServiceAddress;
}

/** To which of the endpoints on the kernel path ztunnel sent this client. */
export interface SessionEntry {
  /** Nanoseconds of the monotonic clock. The kernel writes it, too. */
  readonly lastUsed: bigint;
  /** Of the Service's entry then; 0: nobody has looked whether that endpoint may still be used. */
  readonly generation: number;
  readonly endpoint: EndpointEntry;
}

export const serviceAddress = struct<ServiceAddress>('mesh_service_key', {
  ip: address,
  port: u16,
});

export const serviceEntry = struct<ServiceEntry>('mesh_service', {
  generation: u32,
  kernel: u32,
  total: u32,
  flags: bits(u32, serviceFlags),
  sessionMs: u32,
});

export const endpointKey = struct<EndpointKey>('mesh_endpoint_key', {
  service: serviceAddress,
  generation: u32,
  index: u32,
});

export const endpointEntry = struct<EndpointEntry>('mesh_endpoint', {
  ip: address,
  port: u16,
});

export const sessionKey = struct<SessionKey>('mesh_session_key', {
  client: address,
  service: serviceAddress,
});

export const sessionEntry = struct<SessionEntry>('mesh_session', {
  lastUsed: u64,
  generation: u32,
  endpoint: endpointEntry,
});

export const serviceStructs: readonly StructLayout[] = [
  serviceAddress,
  serviceEntry,
  endpointKey,
  endpointEntry,
  sessionKey,
  sessionEntry,
];
