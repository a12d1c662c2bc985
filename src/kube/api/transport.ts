/** How one request travels; the connections below it differ. */
import type { Readable } from 'node:stream';

export interface ApiRequest {
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Ends the request, and the answer's body with it. */
  readonly signal: AbortSignal;
}

export interface ApiResponse {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: Readable;
  /** Of a body that ended: whether the server ended it. A connection that breaks can look the same to its reader. */
  isComplete(): boolean;
}

export interface Transport {
  /** False once a new request has to go elsewhere. */
  readonly isUsable: boolean;
  /** Resolves with the head of the answer. */
  get(request: ApiRequest): Promise<ApiResponse>;
  /** Requests under way go on. */
  close(): void;
}
