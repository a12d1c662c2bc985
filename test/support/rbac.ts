/** RBAC as the API server decides it, for the roles of our own manifests. */
import type { Manifest } from '../../src/apps/install/kustomize.ts';
import type { SeenRequest } from './fake-kube-api.ts';

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** A rule, and the namespace it is limited to, if it is. */
export interface GrantedRule {
  readonly rule: Rule;
  readonly namespace: string | undefined;
}

export interface Attributes {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

const verbs: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** What a request needs: its verb and object. A list by name counts as one of that name. */
export function attributesOf({ method, path, query }: SeenRequest): Attributes {
  const [, group = '', rest = ''] =
    /^\/apis\/([^/]+)\/[^/]+\/(.*)$/.exec(path) ?? /^\/api\/()v1\/(.*)$/.exec(path) ?? [];
  const [, namespace, within] = /^namespaces\/([^/]+)\/(.+)$/.exec(rest) ?? [undefined, undefined, rest];
  const [resource = '', name, subresource] = (within ?? '').split('/');
  const selected = /(?:^|,)metadata\.name=([^,]+)/.exec(query.get('fieldSelector') ?? '')?.[1];
  const isRead = method === 'GET';
  return {
    verb: isRead ? readVerb(name, query) : (verbs[method] ?? method),
    group,
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    namespace,
    name: name ?? (isRead ? selected : undefined),
  };
}

const readVerb = (name: string | undefined, query: URLSearchParams): string =>
  name !== undefined ? 'get' : query.has('watch') ? 'watch' : 'list';

export const allows = ({ rule, namespace }: GrantedRule, wanted: Attributes): boolean =>
  (namespace === undefined || namespace === wanted.namespace) &&
  rule.apiGroups.includes(wanted.group) &&
  rule.resources.includes(wanted.resource) &&
  rule.verbs.includes(wanted.verb) &&
  (rule.resourceNames === undefined ||
    (wanted.name !== undefined && rule.resourceNames.includes(wanted.name)));

/** For messages: one verb of one rule. */
export const rightOf = ({ rule, namespace }: GrantedRule, verb: string): string =>
  `${verb} ${rule.resources.join(',')} ${rule.resourceNames?.join(',') ?? '*'} in ${namespace ?? 'the cluster'}`;

/** The rules of all roles bound to a service account of this name. */
export function grantedTo(manifests: readonly Manifest[], account: string): readonly GrantedRule[] {
  return manifests
    .filter(({ kind }) => kind === 'ClusterRoleBinding' || kind === 'RoleBinding')
    .filter((binding) =>
      (binding['subjects'] as readonly { readonly name: string }[]).some(({ name }) => name === account),
    )
    .flatMap(({ metadata: { namespace }, ...binding }) => {
      const { kind, name } = binding['roleRef'] as { readonly kind: string; readonly name: string };
      const role = manifests.find((each) => each.kind === kind && each.metadata.name === name);
      const rules = (role?.['rules'] ?? []) as readonly Rule[];
      return rules.map((rule) => ({ rule, namespace }));
    });
}
