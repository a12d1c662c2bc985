/** A few policies as the whole of what is in force for a workload: for questions of what would be, and for tests. */
import type { Verdict } from '../model/connection.ts';
import type { AuthorizationPolicy } from '../model/policy.ts';
import type { PeerAuthentications } from './peer-authentication.ts';
import { compilePart, type PolicySet } from './policy-set.ts';
import { compileRules } from './rules.ts';

const noPeers: PeerAuthentications = { mesh: undefined, namespace: undefined, workload: undefined };

export const compile = (
  policies: readonly AuthorizationPolicy[],
  peers: PeerAuthentications = noPeers,
  inboundDefault?: Verdict,
): PolicySet => ({
  parts: [
    compilePart(
      policies.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
      compileRules,
    ),
  ],
  peers,
  inboundDefault,
});
