/** Tokens as the API server projects them into pods, and what a TokenReview says about them. */
export interface TokenSpec {
  readonly account?: string;
  readonly audience?: string;
  readonly expiresAt?: number;
  readonly pod?: { readonly name: string; readonly uid: string } | null;
  readonly node?: string | null;
}

const defaults = {
  account: 'mesh-ebpf-system:mesh-ebpf-node',
  audience: 'mesh-ebpf-ca',
  expiresAt: Date.UTC(2100, 0, 1),
  pod: { name: 'mesh-ebpf-node-x1', uid: 'uid-1' },
  node: 'node-a',
};

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signed by nobody: whether it is any good is the reviewer's word. */
export function projectedToken(spec: TokenSpec = {}): string {
  const { account, audience, expiresAt, pod } = { ...defaults, ...spec };
  const claims = {
    aud: [audience],
    exp: expiresAt / 1000,
    sub: `system:serviceaccount:${account}`,
    'kubernetes.io': pod === null ? {} : { pod },
  };
  return `${encode({ alg: 'RS256' })}.${encode(claims)}.c2lnbmF0dXJl`;
}

/** The status of the review of such a token. */
export function reviewOf(spec: TokenSpec = {}): object {
  const { account, audience, pod, node } = { ...defaults, ...spec };
  const extra = {
    ...(pod === null
      ? {}
      : {
          'authentication.kubernetes.io/pod-name': [pod.name],
          'authentication.kubernetes.io/pod-uid': [pod.uid],
        }),
    ...(node === null ? {} : { 'authentication.kubernetes.io/node-name': [node] }),
  };
  return {
    authenticated: true,
    audiences: [audience],
    user: { username: `system:serviceaccount:${account}`, extra },
  };
}
