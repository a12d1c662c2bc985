/**
 * Kubernetes' NetworkPolicies work on what goes over the wire, and between pods of the mesh that is HBONE to port 15008:
 * one that lists the applications' ports cuts the mesh off. Those that select a pod add up, so each pod is judged by all
 * of its own.
 */
import { hbonePort } from '../../base/ports.ts';
import type { Workload } from '../../model/mesh.ts';
import { withDefault } from '../with-default.ts';
import type { Check } from './context.ts';
import { type Finding, finding, type LintCode, type LintedObject } from './finding.ts';
import type { LabelRequirement, LabelSelector, NetworkPolicy, NetworkRule } from './input.ts';

type Direction = 'ingress' | 'egress';
type Protocol = 'TCP' | 'UDP';

/** What must pass, and what is wrong if it does not. */
interface Need {
  readonly direction: Direction;
  readonly port: number;
  readonly protocol: Protocol;
  readonly code: LintCode;
  readonly what: string;
}

const needs: readonly Need[] = [
  {
    direction: 'ingress',
    port: hbonePort,
    protocol: 'TCP',
    code: 'blocks-hbone',
    what: 'connections of the mesh come in',
  },
  {
    direction: 'egress',
    port: hbonePort,
    protocol: 'TCP',
    code: 'blocks-hbone',
    what: 'connections of the mesh go out',
  },
  { direction: 'egress', port: 53, protocol: 'UDP', code: 'blocks-dns', what: 'the pods ask for names' },
];

export const networkPolicies: Check = ({ input }) => {
  const byNamespace = Map.groupBy(input.networkPolicies, ({ namespace }) => namespace);
  const cut = new Map<NetworkPolicy, Map<Need, string[]>>();
  for (const pod of input.view.workloads.values()) {
    const candidates = pod.protocol === 'hbone' ? byNamespace.get(pod.namespace) : undefined;
    if (candidates === undefined) continue;
    const own = candidates.filter(({ pods }) => selects(pods, pod.labels));
    for (const need of needs) {
      for (const policy of cutters(own, need)) {
        const pods = withDefault(
          withDefault(cut, policy, () => new Map<Need, string[]>()),
          need,
          () => [],
        );
        pods.push(pod.name);
      }
    }
  }
  return [...cut].flatMap(([policy, found]) => [...found].map(([need, pods]) => blocked(policy, need, pods)));
};

/** Those that let something pass, and not this, where none does. Who lets nothing pass means it. */
function cutters(
  own: readonly NetworkPolicy[],
  { direction, port, protocol }: Need,
): readonly NetworkPolicy[] {
  const speaking = own.filter((policy) => policy[direction] !== undefined);
  const lets = (policy: NetworkPolicy): boolean =>
    policy[direction]?.some((rule) => admits(rule, port, protocol)) === true;
  if (speaking.length === 0 || speaking.some(lets)) return [];
  return speaking.filter((policy) => (policy[direction] ?? []).length > 0);
}

/** A port by name is one of the application's. */
const admits = ({ ports }: NetworkRule, wanted: number, protocol: Protocol): boolean =>
  ports === undefined ||
  ports.some(
    ({ protocol: own, port, endPort }) =>
      own === protocol &&
      (port === undefined ||
        (typeof port === 'number' && port <= wanted && wanted <= Math.max(port, endPort ?? 0))),
  );

function blocked({ namespace, name }: NetworkPolicy, need: Need, pods: readonly string[]): Finding {
  const object: LintedObject = { kind: 'NetworkPolicy', namespace, name };
  const which = pods.length === 1 ? `pod ${pods[0]}` : `${pods.length} pods (${pods[0]}, …)`;
  const { direction, port, protocol, code, what } = need;
  const message = `${protocol} port ${port}, by which ${what}, is not open for ${which} of the mesh`;
  const hint = `add to its ${direction} rules: ports: [{protocol: ${protocol}, port: ${port}}]`;
  return finding(code, object, `spec.${direction}`, message, hint);
}

const selects = (selector: LabelSelector, labels: Workload['labels']): boolean =>
  selector.every((requirement) => fits(requirement, labels));

function fits({ key, operator, values }: LabelRequirement, labels: Workload['labels']): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}
