/** What an answered TokenReview proves about its bearer. Pure. */
import { Type, type Static } from 'typebox';
import { Value } from 'typebox/value';
import { MeshError } from '../../base/errors.ts';
import { type Stranger, stranger } from '../caller.ts';

const reviewSchema = Type.Object({
  status: Type.Object({
    authenticated: Type.Optional(Type.Boolean()),
    audiences: Type.Optional(Type.Array(Type.String())),
    error: Type.Optional(Type.String()),
    user: Type.Optional(
      Type.Object({
        username: Type.Optional(Type.String()),
        extra: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String()))),
      }),
    ),
  }),
});
export type TokenReview = Static<typeof reviewSchema>;

/** Who may ask for the certificates of a whole node. */
export interface NodeAgentAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export interface Expected {
  readonly audience: string;
  readonly nodeAgent: NodeAgentAccount;
}

/** The pod of a node program, as the API server vouches for it. */
export interface ProvenPod {
  readonly type: 'pod';
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  /** Kubernetes 1.30 and later say it. */
  readonly node: string | undefined;
}

/** @throws MeshError UNAVAILABLE when something else than an API server answered */
export function parseReview(answer: unknown): TokenReview {
  if (Value.Check(reviewSchema, answer)) return answer;
  throw new MeshError('UNAVAILABLE', 'the API server’s answer to a TokenReview cannot be understood', {
    hint: 'does authentication.k8s.io/v1 reach the API server, and not a proxy?',
  });
}

export function judgeReview(
  { status }: TokenReview,
  { audience, nodeAgent }: Expected,
): ProvenPod | Stranger {
  if (status.authenticated !== true) {
    return stranger(`the API server does not accept the token: ${status.error ?? 'no reason given'}`);
  }
  // Absent: an API server that knows no audiences, so that a token for anything would do.
  if (status.audiences?.includes(audience) !== true) {
    return stranger(`the token is not for the audience ${audience}; project one that is`);
  }
  const { namespace, serviceAccount } = nodeAgent;
  const username = status.user?.username ?? 'nobody';
  if (username !== `system:serviceaccount:${namespace}:${serviceAccount}`) {
    return stranger(
      `the token is ${username}’s; only the node program (${namespace}/${serviceAccount}) may ask`,
    );
  }
  const of = (key: string): string | undefined =>
    status.user?.extra?.[`authentication.kubernetes.io/${key}`]?.[0];
  const name = of('pod-name');
  if (name === undefined) return notBound;
  return { type: 'pod', namespace, name, uid: of('pod-uid'), node: of('node-name') };
}

export const notBound = stranger(
  'the token is not bound to a pod; use a projected token (volumes.projected.sources.serviceAccountToken)',
);
