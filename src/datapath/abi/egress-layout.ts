/** What pods may reach outside the mesh, and what of it was refused. See `layout.ts`. */
import type { IpAddress } from '../../base/ip.ts';
import type { PortRange, Transport } from '../../model/access.ts';
import { type Field, address, array, choice, u16, u32, u64, u8 } from './field.ts';
import { struct, type StructLayout } from './struct.ts';

/** IANA's numbers. */
const transports: Readonly<Record<Transport, number>> = { tcp: 6, udp: 17 };

/** `MESH_EGRESS_RANGES`. */
export const maxPortRanges = 16;

export interface EgressKey {
  /** Of the address: 0 to 128. IPv4 has 96 more than people write. */
  readonly bits: number;
  readonly set: bigint;
  readonly base: IpAddress;
}

export interface Egress {
  readonly open: readonly PortRange[];
}

export interface Denial {
  /** Nanoseconds of the monotonic clock. */
  readonly at: bigint;
  readonly ip: IpAddress;
  readonly podId: number;
  /** Of the same pod, since the one told before. */
  readonly untold: number;
  readonly port: number;
  readonly protocol: Transport;
}

export interface DenialRate {
  readonly windowStart: bigint;
  readonly told: number;
  readonly untold: number;
}

/** What comes before the address in a key: padding and the set. */
const setBits = 96;

const setPrefixBits: Field<number> = {
  ...u32,
  read: (view, offset) => u32.read(view, offset) - setBits,
  write: (view, offset, value) => u32.write(view, offset, value + setBits),
};

export const egressKey = struct<EgressKey>('mesh_egress_key', {
  bits: setPrefixBits,
  set: u64,
  base: address,
});

const portRange = struct<{ first: number; last: number; protocol: Transport | 'unused' }>('mesh_port_range', {
  first: u16,
  last: u16,
  protocol: choice(u8, { unused: 0, ...transports }),
});

const ranges = array(portRange, maxPortRanges, ({ protocol }) => protocol === 'unused');

export const egress = struct<Egress>('mesh_egress', { open: ranges as Field<Egress['open']> });

export const denial = struct<Denial>('mesh_denial', {
  at: u64,
  ip: address,
  podId: u32,
  untold: u32,
  port: u16,
  protocol: choice(u8, transports),
});

export const denialRate = struct<DenialRate>('mesh_denial_rate', {
  windowStart: u64,
  told: u32,
  untold: u32,
});

export const egressStructs: readonly StructLayout[] = [egressKey, portRange, egress, denial, denialRate];
