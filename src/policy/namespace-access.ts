/** Which NamespaceAccess objects have a say about a workload, and what they say of its inbound connections. Pure. */
import type { NamespaceAccess } from '../model/access.ts';
import type { Verdict } from '../model/connection.ts';
import type { Workload } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';

/** Those that select the workload, by key. Asked again of the same objects, it is the same look-up. */
export type AccessLookup = (workload: Pick<Workload, 'namespace' | 'labels'>) => readonly NamespaceAccess[];

export function accessLookup({ access }: Pick<MeshView, 'access'>): AccessLookup {
  const known = lookups.get(access);
  if (known !== undefined) return known;
  const made = lookupIn(access);
  lookups.set(access, made);
  return made;
}

const lookups = new WeakMap<MeshView['access'], AccessLookup>();

function lookupIn(access: MeshView['access']): AccessLookup {
  const byNamespace = Map.groupBy(access.values(), ({ namespace }) => namespace);
  for (const objects of byNamespace.values()) objects.sort((a, b) => (a.key < b.key ? -1 : 1));
  return ({ namespace, labels }) =>
    (byNamespace.get(namespace) ?? none).filter((object) =>
      Object.entries(object.labels).every(([name, value]) => labels[name] === value),
    );
}

const none: readonly NamespaceAccess[] = [];

/** On an inbound connection about which no policy says anything; undefined: it is allowed, as without these objects. */
export function defaultVerdict(objects: readonly NamespaceAccess[]): Verdict | undefined {
  const denying = objects.find(({ inbound }) => inbound === 'deny');
  return denying === undefined
    ? undefined
    : {
        allowed: false,
        policy: denying.key,
        reason: 'no ALLOW policy applies, and spec.inbound.default is Deny',
      };
}
