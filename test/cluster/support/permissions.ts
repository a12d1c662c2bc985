/** Takes a permission of the mesh away for a while, as a careless edit of a ClusterRole does. */
import { RbacAuthorizationV1Api, type V1PolicyRule } from '@kubernetes/client-node';
import { MeshError } from '../../../src/base/errors.ts';
import type { ClusterApi } from './api.ts';

export interface Permission {
  readonly clusterRole: string;
  readonly verb: string;
  readonly apiGroup: string;
  readonly resource: string;
}

/** Takes it away, does the work, and gives it back whatever came of the work. */
export async function withoutPermission(
  { kubeconfig }: ClusterApi,
  permission: Permission,
  work: () => Promise<void>,
): Promise<void> {
  const rbac = kubeconfig.makeApiClient(RbacAuthorizationV1Api);
  const name = permission.clusterRole;
  const { rules: granted = [] } = await rbac.readClusterRole({ name });
  const rules = granted.flatMap((rule) => ruleWithout(rule, permission));
  if (JSON.stringify(rules) === JSON.stringify(granted)) {
    throw new MeshError('NOT_FOUND', `ClusterRole ${name} does not grant it: ${JSON.stringify(permission)}`);
  }
  const write = async (wanted: V1PolicyRule[]): Promise<void> => {
    await rbac.replaceClusterRole({
      name,
      body: { ...(await rbac.readClusterRole({ name })), rules: wanted },
    });
  };
  await write(rules);
  try {
    await work();
  } finally {
    await write(granted);
  }
}

/** What is left of a rule: it grants everything else that it did. Pure. */
export function ruleWithout(
  rule: V1PolicyRule,
  { verb, apiGroup, resource }: Omit<Permission, 'clusterRole'>,
): V1PolicyRule[] {
  const { apiGroups = [], resources = [], verbs } = rule;
  if (!apiGroups.includes(apiGroup) || !resources.includes(resource) || !verbs.includes(verb)) return [rule];
  const others = resources.filter((each) => each !== resource);
  const left = verbs.filter((each) => each !== verb);
  return [
    ...(others.length === 0 ? [] : [{ ...rule, resources: others }]),
    ...(left.length === 0 ? [] : [{ ...rule, resources: [resource], verbs: left }]),
  ];
}
