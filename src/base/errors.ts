/**
 * The one error type of the project and the one table of its codes. An error says who failed, why, and what to do
 * next; its code is stable and appears in logs, metrics, the CLI and tests. Refusals by policy are values
 * (`src/policy`), not errors.
 */

/** Every code there is, with the sentence an operator finds when looking the code up. Codes are never reused. */
export const errorCodes = {
  // Input from people: YAML, flags, manifests.
  INVALID_ARGUMENT: 'a command-line argument or API parameter is not valid',
  INVALID_MANIFEST: 'a Kubernetes object could not be understood',
  NOT_FOUND: 'the named thing does not exist',
  ALREADY_EXISTS: 'a thing of that name exists already',
  CONFLICT: 'somebody else changed the thing at the same time',
  UNSUPPORTED: 'this kernel or host lacks something that is needed',
  PERMISSION: 'this needs root or a capability that the process does not have',
  UNAVAILABLE: 'the process or service asked is not running or does not answer',
  TIMEOUT: 'the deadline passed',
  INTERNAL: 'a bug in mesh-ebpf',
  // The Kubernetes API.
  API_UNAVAILABLE: 'the Kubernetes API server does not answer, or not in a way that can be used',
  API_FORBIDDEN: 'the Kubernetes API server refuses a request: credentials or a permission are missing',
  SNAPSHOT: 'the last known objects on disk cannot be read or written',
  // The kernel side.
  BPF_LOAD: 'the kernel refused a BPF program or map',
  BPF_SELF_TEST: 'the BPF programs do not do on this kernel what they should, and are not put in force',
  BPF_UNTRIED: 'the BPF programs could not be tried out on this kernel',
  BPF_ATTACH: 'a BPF program could not be attached',
  BPF_MAP: 'a BPF map operation failed',
  BPF_MAP_FULL: 'a BPF map has no room; raise its size in the configuration',
  ABI_MISMATCH: 'the BPF object and the user-space codecs disagree about a layout',
  SYSCALL: 'a system call failed',
  NETNS: 'a network namespace could not be entered or is not the expected one',
  // Identity.
  IDENTITY_INVALID: 'a SPIFFE ID is malformed',
  CERTIFICATE_UNAVAILABLE: 'no valid certificate could be obtained for an identity',
  CERTIFICATE_INVALID: 'a certificate is malformed, expired, or not signed by a trusted root',
  CA_REFUSED: 'the certificate authority refused the request',
  CA_STATE: 'the certificate authority’s files are damaged, unsafe or of another mesh',
  // One connection, in the order of its hops.
  NO_ORIGINAL_DESTINATION: 'a connection reached a capture port without having been captured',
  RECURSIVE_CALL: 'a connection aims at one of the mesh’s own ports',
  UNKNOWN_SOURCE: 'the pod a connection comes from is not known (yet)',
  NO_HEALTHY_ENDPOINT: 'the service has no endpoint that can take the connection',
  DIAL_FAILED: 'the TCP connection to the next hop failed',
  TLS_FAILED: 'the TLS handshake with the peer failed',
  PEER_IDENTITY: 'the peer’s certificate does not carry the expected identity',
  TRUST_DOMAIN: 'the peer belongs to another trust domain',
  H2_PROTOCOL: 'the peer broke the HTTP/2 protocol',
  H2_FLOW_CONTROL: 'the peer broke HTTP/2 flow control',
  H2_LIMIT: 'the peer exceeded a limit that protects this node',
  STREAM_RESET: 'the peer reset the stream',
  CONNECT_REFUSED: 'the peer’s ztunnel answered CONNECT with a status other than 200',
  BAD_CONNECT: 'a CONNECT request is malformed or aims at another pod',
  POLICY_DENIED: 'a policy refuses the connection',
  APPLICATION_RESET: 'the application reset the connection',
  PEER_GONE: 'the peer went away without closing',
  DRAINING: 'the proxy is shutting down',
  OVERLOADED: 'a limit of this pod or node is reached',
  POD_REMOVED: 'the pod left the mesh or was deleted',
} as const;

export type ErrorCode = keyof typeof errorCodes;

export interface MeshErrorOptions {
  /** What the reader can do about it: a sentence, or a command to run. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Structured facts for the log line, never secrets. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** An error with a stable code; `message` says who failed and why. */
export class MeshError extends Error {
  override readonly name = 'MeshError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, string | number | boolean>>;

  constructor(code: ErrorCode, message: string, options: MeshErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }
}

/** Any thrown value as a MeshError: itself if it is one, else wrapped under `code`. */
export function asMeshError(thrown: unknown, code: ErrorCode = 'INTERNAL', context?: string): MeshError {
  if (thrown instanceof MeshError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new MeshError(code, context === undefined ? reason : `${context}: ${reason}`, { cause: thrown });
}
