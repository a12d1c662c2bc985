/** By which labels to select the pods of one owner, and as far as possible no others. Pure. */
import type { Workload } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';

export interface Selection {
  /** undefined: its pods have no label in common to select them by. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  /** Owners whose pods they select, too. */
  readonly others: readonly string[];
}

/** `KIND/NAME`. */
export const ownerKey = ({ kind, name }: Workload['owner']): string => `${kind}/${name}`;

/** What people select by, the most usual first. */
const usual: readonly (readonly string[])[] = [
  ['app.kubernetes.io/name'],
  ['app'],
  ['k8s-app'],
  ['app.kubernetes.io/name', 'app.kubernetes.io/instance'],
  ['app.kubernetes.io/name', 'app.kubernetes.io/component'],
  ['app', 'component'],
];

/** Different for pods of one owner, or from one rollout to the next. */
const passing: ReadonlySet<string> = new Set([
  'pod-template-hash',
  'controller-revision-hash',
  'pod-template-generation',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'controller-uid',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-name',
  'job-name',
]);

/** For each owner of pods that are in the mesh, by `ownerKey`. */
export function selectionsIn({ workloads }: MeshView, namespace: string): ReadonlyMap<string, Selection> {
  const pods = [...workloads.values()].filter((pod) => pod.namespace === namespace);
  const owners = Map.groupBy(pods, ({ owner }) => ownerKey(owner));
  const meshed = [...owners].filter(([, own]) => own.some(({ protocol }) => protocol === 'hbone'));
  return new Map(meshed.map(([key, own]) => [key, selectionOf(key, own, pods)]));
}

function selectionOf(key: string, own: readonly Workload[], all: readonly Workload[]): Selection {
  const common = commonLabels(own);
  const stable = Object.keys(common).filter((name) => !passing.has(name));
  const candidates = [...usual, stable.toSorted()].filter(
    (names) => names.length > 0 && names.every((name) => stable.includes(name)),
  );
  const selections = candidates.map((names): Selection => {
    const labels = Object.fromEntries(names.map((name) => [name, common[name] ?? '']));
    return { labels, others: othersSelected(key, labels, all) };
  });
  const [first] = selections;
  return selections.find(({ others }) => others.length === 0) ?? first ?? { labels: undefined, others: [] };
}

function commonLabels([first, ...more]: readonly Workload[]): Readonly<Record<string, string>> {
  const entries = Object.entries(first?.labels ?? {});
  return Object.fromEntries(
    entries.filter(([name, value]) => more.every(({ labels }) => labels[name] === value)),
  );
}

function othersSelected(
  key: string,
  selector: Readonly<Record<string, string>>,
  all: readonly Workload[],
): readonly string[] {
  const selected = all.filter(({ labels }) =>
    Object.entries(selector).every(([name, value]) => labels[name] === value),
  );
  return [...new Set(selected.map(({ owner }) => ownerKey(owner)))].filter((other) => other !== key);
}
