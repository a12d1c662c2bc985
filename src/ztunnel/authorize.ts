/** Inbound: asks the policy engine, with the identity the certificate proved and nothing the client merely said. */
import { MeshError } from '../base/errors.ts';
import type { Verdict } from '../model/connection.ts';
import type { MeshView } from '../model/view.ts';
import type { AccessRequest } from '../policy/authorize.ts';
import { refuse, type SettledFacts, type Step } from './facts.ts';

/** The policy engine as the data path sees it. */
export type Authorizer = (view: MeshView, request: AccessRequest) => Verdict;

export const authorize =
  (authorizer: Authorizer): Step =>
  (facts) => {
    const verdict = verdictOn(facts, authorizer, facts.view);
    if (verdict === undefined) return facts;
    const judged = { ...facts, verdict };
    if (verdict.allowed) return judged;
    return refuse(judged, 'policy', denial(verdict));
  };

/** The error that ends a connection with this verdict. `late`: one that was allowed before. */
export function denial({ policy, reason }: Verdict, { late = false } = {}): MeshError {
  const by = policy === undefined ? 'no ALLOW policy matches' : `policy ${policy}`;
  return new MeshError('POLICY_DENIED', `${late ? 'late denial: ' : ''}${by}: ${reason}`, {
    details: policy === undefined ? {} : { policy },
  });
}

/** Also asked again when policies change under a live connection. */
export function verdictOn(facts: SettledFacts, authorizer: Authorizer, view: MeshView): Verdict | undefined {
  const request = accessRequest(facts, view);
  return request === undefined ? undefined : authorizer(view, request);
}

/** What the policy engine is asked of a connection; undefined: there is no pod to ask about. */
export function accessRequest(
  { source, destination }: SettledFacts,
  view: MeshView,
): AccessRequest | undefined {
  return (
    destination.workload && {
      identity: source.identity,
      source: source.address,
      destination: view.workloads.get(destination.workload.uid) ?? destination.workload,
      target: destination.address,
    }
  );
}
