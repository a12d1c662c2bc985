/**
 * The DaemonSet that takes the mesh off every node: the node program's own pods, with `mesh-ebpf uninstall` in its
 * place. Its rollout is the proof: a pod becomes ready only where nothing of the mesh is left. Pure.
 */
import { nodeAgentName } from '../../controller/kubernetes/names.ts';
import type { Manifest } from './kustomize.ts';

const cleanerName = 'uninstall';

interface Container {
  readonly name: string;
  readonly [field: string]: unknown;
}

interface DaemonSetSpec {
  readonly template: {
    readonly spec: {
      readonly containers: readonly Container[];
      readonly initContainers?: readonly Container[];
      readonly volumes: readonly Named[];
    };
  };
  readonly [field: string]: unknown;
}

interface Named {
  readonly name: string;
}

/** Tokens and trust bundles are not needed, and must not be waited for: the controller may be gone. */
const needless = new Set(['ca', 'token']);

/** Whether an uninstallation that was not finished has put it there. */
export function isCleaning(daemonSet: Manifest): boolean {
  const { initContainers = [] } = (daemonSet['spec'] as DaemonSetSpec).template.spec;
  return initContainers.some(({ name }) => name === cleanerName);
}

/** `daemonSet` as it is in the cluster, so with the image that is there. */
export function cleaningDaemonSet(daemonSet: Manifest): Manifest {
  const spec = daemonSet['spec'] as DaemonSetSpec;
  const { containers, volumes } = spec.template.spec;
  const program = containers.find(({ name }) => name === 'node') ?? containers[0];
  return {
    apiVersion: daemonSet.apiVersion,
    kind: daemonSet.kind,
    metadata: {
      name: nodeAgentName,
      ...(daemonSet.metadata.namespace === undefined ? {} : { namespace: daemonSet.metadata.namespace }),
      ...(daemonSet.metadata.labels === undefined ? {} : { labels: daemonSet.metadata.labels }),
    },
    spec: {
      ...spec,
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: '100%' } },
      template: {
        ...spec.template,
        spec: {
          ...spec.template.spec,
          initContainers: program === undefined ? [] : [cleaner(program)],
          containers: program === undefined ? [] : [idle(program)],
          volumes: volumes.filter(({ name }) => !needless.has(name)),
        },
      },
    },
  };
}

const cleaner = (program: Container): Container => ({
  ...pick(program, ['image', 'imagePullPolicy', 'env', 'securityContext']),
  name: cleanerName,
  args: ['uninstall', '--yes', '--verify'],
  volumeMounts: (program['volumeMounts'] as readonly Named[]).filter(({ name }) => !needless.has(name)),
});

/** Something has to run for the pod to be ready. */
const idle = (program: Container): Container => ({
  ...pick(program, ['image', 'imagePullPolicy']),
  name: 'node',
  command: ['sleep', 'infinity'],
  securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
});

const pick = (container: Container, fields: readonly string[]): Readonly<Record<string, unknown>> =>
  Object.fromEntries(fields.flatMap((field) => (field in container ? [[field, container[field]]] : [])));
