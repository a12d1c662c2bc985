/** What lint looks at, of manifests. Pure. */
import { type Port, parsePort } from '../../base/ip.ts';
import type { MeshConfig } from '../../model/mesh.ts';
import { decode } from '../../kube/decode.ts';
import { isOfKind, type Pod, type SourcedObject } from '../../kube/objects.ts';
import type { ForeignObject, ManifestFile } from '../../kube/parse-manifests.ts';
import { formatField, type Problem } from '../../kube/problem.ts';
import { type NetworkPolicyObject, NetworkPolicySchema } from '../../kube/resources/network-policy.ts';
import { translateNetworkPolicy } from '../../kube/translate/network-policy.ts';
import type { LintInput, NetworkPolicy } from '../../policy/lint/input.ts';
import { leftAside, meshInFiles } from './mesh-of-files.ts';

export interface FilesToLint {
  readonly input: LintInput;
  readonly problems: readonly Problem[];
  /** What was not looked at. */
  readonly notes: readonly string[];
}

export function filesToLint(files: readonly ManifestFile[], config: MeshConfig): FilesToLint {
  const { view, objects, problems, foreign } = meshInFiles(files, config);
  const network = foreign.filter(isNetworkPolicy).map(readNetworkPolicy);
  const ports = portsByPod(objects);
  const namespaces = new Map(
    objects.flatMap((sourced) => {
      if (!isOfKind(sourced, 'Namespace')) return [];
      const { name, labels = {} } = sourced.object.metadata;
      return [[name, labels] as const];
    }),
  );
  const input: LintInput = {
    view,
    complete: false,
    declaredPorts: ({ namespace, name }) => ports.get(`${namespace}/${name}`) ?? [],
    networkPolicies: network.flatMap(({ policy }) => policy ?? []),
    namespaces: new Set(namespaces.keys()),
    namespaceLabels: namespaces,
    controller: undefined,
  };
  return {
    input,
    problems: [...problems, ...network.flatMap((each) => each.problems)],
    notes: [
      ...leftAside(foreign.filter((object) => !isNetworkPolicy(object))),
      ...(view.workloads.size > 0
        ? []
        : ['there is no pod in the files: whom policies select and who the sources are was not checked']),
    ],
  };
}

const isNetworkPolicy = ({ kind }: ForeignObject): boolean => kind === 'NetworkPolicy';

interface ReadNetworkPolicy {
  readonly policy: NetworkPolicy | undefined;
  readonly problems: readonly Problem[];
}

function readNetworkPolicy({ value, position }: ForeignObject): ReadNetworkPolicy {
  const { value: decoded, faults } = decode(NetworkPolicySchema, value, { strict: true });
  if (faults.length === 0) {
    return { policy: translateNetworkPolicy(decoded as NetworkPolicyObject), problems: [] };
  }
  const problems = faults.map(({ path, message, hint }): Problem => ({
    severity: 'error',
    object: undefined,
    position,
    field: formatField(path),
    message: `NetworkPolicy: ${message}`,
    hint,
  }));
  return { policy: undefined, problems };
}

function portsByPod(objects: readonly SourcedObject[]): ReadonlyMap<string, readonly Port[]> {
  const pods = objects.flatMap((sourced) => (isOfKind(sourced, 'Pod') ? [sourced.object] : []));
  return new Map(pods.map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, tcpPortsOf(pod)]));
}

const tcpPortsOf = ({ spec: { containers, initContainers = [] } }: Pod): readonly Port[] =>
  [...containers, ...initContainers]
    .flatMap(({ ports = [] }) => ports)
    .filter(({ protocol = 'TCP' }) => protocol === 'TCP')
    .map(({ containerPort }) => parsePort(containerPort));
