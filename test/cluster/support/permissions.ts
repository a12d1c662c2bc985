/** Takes a permission of the mesh away for a while, as a careless edit of a ClusterRole does. */
import { RbacAuthorizationV1Api, type V1PolicyRule } from '@kubernetes/client-node';
import { MeshError } from '../../../src/base/errors.ts';
import type { ClusterApi } from './api.ts';

/** Its fields: the client's type is a class, and these are plain objects. */
type Rule = { readonly [Key in keyof V1PolicyRule]: V1PolicyRule[Key] };

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
    const body = await rbac.readClusterRole({ name });
    body.rules = wanted;
    await rbac.replaceClusterRole({ name, body });
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
  rule: Rule,
  { verb, apiGroup, resource }: Omit<Permission, 'clusterRole'>,
): Rule[] {
  const { apiGroups = [], resources = [], verbs } = rule;
  if (!apiGroups.includes(apiGroup) || !resources.includes(resource) || !verbs.includes(verb)) return [rule];
  const others = resources.filter((each) => each !== resource);
  const left = verbs.filter((each) => each !== verb);
  return [
    ...(others.length === 0 ? [] : [{ ...rule, resources: others }]),
    ...(left.length === 0 ? [] : [{ ...rule, resources: [resource], verbs: left }]),
  ];
}
