/**
 * The rule that keeps a stolen node from being everybody, in a cluster: a node gets certificates only for service
 * accounts that have a pod on it, and never for those of pods in its own network.
 */
import { identityParts, type SpiffeId } from '../../model/identity.ts';
import {
  type Caller,
  type IssuancePolicy,
  type IssuanceVerdict,
  refused,
  workloadVerdict,
} from '../caller.ts';
import type { PodsByNode } from './pods-by-node.ts';

export class PodPlacementPolicy implements IssuancePolicy {
  readonly #pods: Pick<PodsByNode, 'runs'>;

  constructor(pods: Pick<PodsByNode, 'runs'>) {
    this.#pods = pods;
  }

  async decide(caller: Caller, identity: SpiffeId): Promise<IssuanceVerdict> {
    if (caller.type === 'workload') return workloadVerdict(caller, identity);
    const { namespace, serviceAccount } = identityParts(identity);
    if (await this.#pods.runs(caller.node, { namespace, serviceAccount })) return { allowed: true };
    return refused(`no pod of service account ${namespace}/${serviceAccount} is on node ${caller.node}`);
  }
}
