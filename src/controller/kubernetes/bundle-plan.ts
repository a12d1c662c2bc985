/** Which namespaces' trust bundles have to be written or removed. Pure. */
import type { KubeObject } from '../../kube/client/kube-objects.ts';
import { managedBy, trustBundleEntry, trustBundleMap } from './names.ts';

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface Namespace extends KubeObject {
  readonly status?: { readonly phase?: string };
}

export interface BundlePlan {
  readonly write: readonly ConfigMap[];
  /** Namespaces whose pods left the mesh. */
  readonly remove: readonly string[];
  /** Namespaces where somebody else's ConfigMap has the name. */
  readonly taken: readonly string[];
}

export interface BundleFacts {
  /** Enrolled ones, and the mesh's own. */
  readonly namespaces: readonly Namespace[];
  /** All of the bundle's name, in the whole cluster. */
  readonly maps: readonly ConfigMap[];
  /** PEM. */
  readonly bundle: string;
}

export function bundlePlan({ namespaces, maps, bundle }: BundleFacts): BundlePlan {
  // Nothing can be made in a namespace that is going.
  const wanted = namespaces
    .filter(({ status }) => status?.phase !== 'Terminating')
    .map(({ metadata }) => metadata.name);
  const byNamespace = new Map(maps.map((map) => [map.metadata.namespace ?? '', map]));
  const isOther = (namespace: string): boolean => {
    const map = byNamespace.get(namespace);
    return map !== undefined && !isOurs(map);
  };
  const kept = new Set(namespaces.map(({ metadata }) => metadata.name));
  return {
    write: wanted
      .filter((name) => !isOther(name) && byNamespace.get(name)?.data?.[trustBundleEntry] !== bundle)
      .map((namespace) => bundleMap(namespace, bundle)),
    remove: maps
      .filter((map) => isOurs(map) && !kept.has(map.metadata.namespace ?? ''))
      .map(({ metadata }) => metadata.namespace ?? ''),
    taken: wanted.filter(isOther),
  };
}

const [[managedByLabel, manager] = ['', '']] = Object.entries(managedBy);
const isOurs = ({ metadata }: ConfigMap): boolean => metadata.labels?.[managedByLabel] === manager;

const bundleMap = (namespace: string, bundle: string): ConfigMap => ({
  metadata: { namespace, name: trustBundleMap, labels: managedBy },
  data: { [trustBundleEntry]: bundle },
});
