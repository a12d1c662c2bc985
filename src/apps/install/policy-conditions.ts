/** What the controller has written on policies of yours goes with it: nobody would keep it true any more. */
import { MeshError } from '../../base/errors.ts';
import { withoutOurs } from '../../controller/policy-status/conditions.ts';
import { conditionsOf } from '../../controller/policy-status/record.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { type KubeObject, listObjects, mergeObject } from '../../kube/client/kube-objects.ts';
import { type Resource, resources } from '../../kube/client/resources.ts';

const kinds = [resources.authorizationPolicies, resources.peerAuthentications, resources.namespaceAccesses];

/** How many policies had some. @throws MeshError by `api-refusal.ts` */
export async function removeConditions(client: KubeClient): Promise<number> {
  let removed = 0;
  for (const kind of kinds) {
    for (const policy of await policiesOf(client, kind)) {
      if (await removeFrom(client, kind, policy)) removed += 1;
    }
  }
  return removed;
}

/** A kind that is not defined has none. */
const policiesOf = async (client: KubeClient, kind: Resource): Promise<readonly KubeObject[]> =>
  await unless('NOT_FOUND', () => listObjects(client, kind), []);

/** One that somebody changes or deletes in this moment is left as it is. */
async function removeFrom(client: KubeClient, kind: Resource, policy: KubeObject): Promise<boolean> {
  const conditions = conditionsOf(policy);
  const others = withoutOurs(conditions);
  if (others.length === conditions.length) return false;
  const { uid, resourceVersion } = policy.metadata;
  const patch = { metadata: { uid, resourceVersion }, status: { conditions: others } };
  const write = async (): Promise<boolean> => {
    await mergeObject(client, kind, policy.metadata, patch, 'status');
    return true;
  };
  return await unless('NOT_FOUND', () => unless('CONFLICT', write, false), false);
}

async function unless<T>(code: MeshError['code'], action: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    if (thrown instanceof MeshError && thrown.code === code) return otherwise;
    throw thrown;
  }
}
