/** Where on its way a connection failed, told from the error: the one table from code to hop. */
import type { ErrorCode, MeshError } from '../../base/errors.ts';
import type { Hop } from '../../model/connection.ts';
import type { EngineFailure } from '../engine.ts';

const hops: Partial<Record<ErrorCode, Hop>> = {
  NO_ORIGINAL_DESTINATION: 'capture',
  RECURSIVE_CALL: 'capture',
  UNKNOWN_SOURCE: 'resolve',
  NO_HEALTHY_ENDPOINT: 'resolve',
  POLICY_DENIED: 'policy',
  CERTIFICATE_UNAVAILABLE: 'certificate',
  DIAL_FAILED: 'dial',
  SYSCALL: 'dial',
  NETNS: 'dial',
  TLS_FAILED: 'tls',
  PEER_IDENTITY: 'tls',
  TRUST_DOMAIN: 'tls',
  CERTIFICATE_INVALID: 'tls',
  H2_PROTOCOL: 'h2',
  H2_FLOW_CONTROL: 'h2',
  H2_LIMIT: 'h2',
  BAD_CONNECT: 'h2',
  STREAM_RESET: 'peer',
  CONNECT_REFUSED: 'peer',
  PEER_GONE: 'peer',
  APPLICATION_RESET: 'application',
};

/** The failure as the engine reports it; what concerns no hop in particular happened in the relay. */
export const failureOf = (error: MeshError): EngineFailure => ({ hop: hops[error.code] ?? 'relay', error });
