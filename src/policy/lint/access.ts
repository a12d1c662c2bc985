/** NamespaceAccess objects as checks ask about them. */
import type { NamespaceAccess } from '../../model/access.ts';
import type { Workload } from '../../model/mesh.ts';
import type { Scoped } from '../applicable.ts';
import { type EgressRequest, egressVerdict } from '../egress.ts';
import { accessLookup } from '../namespace-access.ts';
import { withDefault } from '../with-default.ts';
import type { LintedObject } from './finding.ts';
import type { LintInput } from './input.ts';
import type { PodFacts } from './pods.ts';

export const accessObject = ({ namespace, name }: NamespaceAccess): LintedObject => ({
  kind: 'NamespaceAccess',
  namespace,
  name,
});

export const scopedAccess = ({ key, namespace, labels }: NamespaceAccess): Scoped => ({
  key,
  namespace,
  scope: Object.keys(labels).length === 0 ? { type: 'namespace' } : { type: 'selector', labels },
});

interface Known {
  readonly input: LintInput;
  readonly pods: PodFacts;
}

export interface RefusedPods {
  readonly count: number;
  readonly first: Workload;
  readonly reason: string;
}

/** The pods of an object that are in the mesh and that it, and no other object, keeps from something. */
export function refusedPods(
  { input: { view }, pods }: Known,
  access: NamespaceAccess,
  requests: readonly EgressRequest[],
  concerns: (pod: Workload) => boolean = () => true,
): RefusedPods | undefined {
  const objectsOf = accessLookup(view);
  const reasons = new Map<string, string>();
  const refused = pods.pods(scopedAccess(access)).flatMap((pod) => {
    if (pod.protocol !== 'hbone' || !concerns(pod)) return [];
    // Pods under the same objects fare alike.
    const under = objectsOf(pod).map(({ key }) => key);
    const reason = withDefault(reasons, under.join(' '), () => {
      const verdicts = requests.map((request) => egressVerdict(view, pod, request));
      return (
        verdicts.find((verdict) => verdict?.allowed === false && verdict.policy === access.key)?.reason ?? ''
      );
    });
    return reason === '' ? [] : [{ pod, reason }];
  });
  const [first] = refused;
  return first === undefined ? undefined : { count: refused.length, first: first.pod, reason: first.reason };
}
