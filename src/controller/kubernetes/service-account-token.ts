/**
 * What a projected service account token says of itself. Nothing of it is believed before the API server has
 * reviewed the token: it only spares the API server the questions whose answer is clear.
 */
import { Type } from 'typebox';
import { Value } from 'typebox/value';

export interface TokenClaims {
  readonly audiences: readonly string[];
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Whether it dies with a pod. */
  readonly podBound: boolean;
}

const claimsSchema = Type.Object({
  aud: Type.Union([Type.String(), Type.Array(Type.String())]),
  exp: Type.Number(),
  'kubernetes.io': Type.Optional(
    Type.Object({ pod: Type.Optional(Type.Object({ name: Type.String(), uid: Type.String() })) }),
  ),
});

/** Undefined for what is not a token of a service account. */
export function readClaims(token: string): TokenClaims | undefined {
  const claims = payload(token);
  if (!Value.Check(claimsSchema, claims)) return undefined;
  const { aud, exp, 'kubernetes.io': kubernetes } = claims;
  return {
    audiences: typeof aud === 'string' ? [aud] : aud,
    expiresAt: exp * 1000,
    podBound: kubernetes?.pod !== undefined,
  };
}

function payload(token: string): unknown {
  const [, body, signature, ...rest] = token.split('.');
  if (body === undefined || signature === undefined || rest.length > 0) return undefined;
  try {
    return JSON.parse(Buffer.from(body, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
