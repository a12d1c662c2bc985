/** Connections whose bytes go from socket to socket. See `layout.ts`. */
import { array, bool, choice, u32, u64, u8 } from './field.ts';
import { struct, type StructLayout } from './struct.ts';

/** `enum mesh_end`. */
export const ends = { dialling: 0, accepting: 1 } as const;

/** `enum mesh_stream_stage`. */
export const streamStages = { new: 0, redirected: 1, tcp: 2 } as const;

/** An end of an accelerated connection, which has the dialling socket's cookie for its name. */
export interface EndKey {
  readonly connection: bigint;
  readonly end: keyof typeof ends;
}

/** How an end sends. */
export interface Stream extends EndKey {
  readonly stage: keyof typeof streamStages;
  readonly watched: boolean;
}

/** What of a connection's bytes TCP does not know of. */
export interface Accelerated {
  /** From the side that dialled. */
  readonly bytesSent: bigint;
  readonly bytesReceived: bigint;
  /** Of each end, since the other one sent something. */
  readonly unanswered: readonly number[];
}

export const endKey = struct<EndKey>('mesh_end_key', { connection: u64, end: choice(u32, ends) });

export const stream = struct<Stream>('mesh_stream', {
  connection: u64,
  end: choice(u8, ends),
  stage: choice(u8, streamStages),
  watched: bool,
});

export const accelerated = struct<Accelerated>('mesh_accelerated', {
  bytesSent: u64,
  bytesReceived: u64,
  unanswered: array(u32, 2, () => false),
});

export const accelerationStructs: readonly StructLayout[] = [endKey, stream, accelerated];
