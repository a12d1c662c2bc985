/** What `--set KEY=VALUE` can change in the manifests, and how. Pure. */
import { MeshError } from '../../base/errors.ts';
import { controllerName, nodeAgentName } from '../../controller/kubernetes/names.ts';
import { parseTrustDomain } from '../../model/identity.ts';
import {
  parseAcceleration,
  parseClusterDns,
  parseLogLevel,
  parseSameNode,
  parseSeconds,
} from '../config/values.ts';
import type { Manifest } from './kustomize.ts';

interface Setting {
  readonly help: string;
  /** @throws MeshError INVALID_ARGUMENT or IDENTITY_INVALID for a value that cannot be */
  readonly check: (value: string) => void;
  readonly change: (workload: Workload, value: string) => Workload;
  /** Of which workload; absent: of both. */
  readonly only?: string;
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly imagePullPolicy?: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly securityContext: { readonly capabilities: { readonly add?: readonly string[] } };
}

/** A Deployment or DaemonSet, as far as settings change it. */
interface Workload {
  readonly replicas?: number;
  readonly template: { readonly spec: { readonly containers: readonly Container[] } };
}

const inContainer = (workload: Workload, change: (container: Container) => Partial<Container>): Workload => ({
  ...workload,
  template: {
    ...workload.template,
    spec: {
      ...workload.template.spec,
      containers: workload.template.spec.containers.map((container) => ({
        ...container,
        ...change(container),
      })),
    },
  },
});

const withCapability = (workload: Workload, name: string): Workload =>
  inContainer(workload, ({ securityContext: { capabilities, ...rest } }) => ({
    securityContext: { ...rest, capabilities: { ...capabilities, add: [...(capabilities.add ?? []), name] } },
  }));

const flag =
  (name: string) =>
  (workload: Workload, value: string): Workload =>
    inContainer(workload, ({ args }) => ({
      args: [...args.filter((arg) => !arg.startsWith(`${name}=`)), `${name}=${value}`],
    }));

const variable =
  (name: string) =>
  (workload: Workload, value: string): Workload =>
    inContainer(workload, ({ env }) => ({
      env: env.map((entry) => (entry.name === name ? { name, value } : entry)),
    }));

const matching =
  (pattern: RegExp, what: string) =>
  (value: string): void => {
    if (!pattern.test(value)) throw new MeshError('INVALID_ARGUMENT', `"${value}" is not ${what}`);
  };

const domainName = matching(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'a DNS domain');

export const settings: Readonly<Record<string, Setting>> = {
  image: {
    help: 'image of both programs, such as registry.example/mesh-ebpf:0.1.0',
    check: matching(/^[\w][\w.:/@-]{0,500}$/, 'the name of an image'),
    change: (workload, image) => inContainer(workload, () => ({ image })),
  },
  imagePullPolicy: {
    help: 'Always, IfNotPresent or Never',
    check: matching(/^(Always|IfNotPresent|Never)$/, 'Always, IfNotPresent or Never'),
    change: (workload, imagePullPolicy) => inContainer(workload, () => ({ imagePullPolicy })),
  },
  logLevel: {
    help: 'debug, info, warn or error',
    check: (value) => void parseLogLevel(value),
    change: flag('--log-level'),
  },
  trustDomain: {
    help: 'SPIFFE trust domain; cannot be changed once there is an authority',
    check: (value) => void parseTrustDomain(value),
    change: variable('TRUST_DOMAIN'),
  },
  clusterDomain: { help: 'DNS domain of Services', check: domainName, change: variable('CLUSTER_DOMAIN') },
  clusterId: {
    help: 'name of the cluster in logs and metrics',
    check: matching(/^[\w.-]{1,253}$/, 'a name'),
    change: variable('CLUSTER_ID'),
  },
  'node.liftMemlock': {
    help: 'true: grants SYS_RESOURCE; for kernels before 5.11, where BPF memory counts against RLIMIT_MEMLOCK',
    check: matching(/^(true|false)$/, 'true or false'),
    change: (workload, value) => (value === 'true' ? withCapability(workload, 'SYS_RESOURCE') : workload),
    only: nodeAgentName,
  },
  'node.clusterDns': {
    help: 'who answers DNS, addresses or NAMESPACE/NAME of Services: open to pods whose egress is denied by default',
    check: (value) => void parseClusterDns(value),
    change: flag('--cluster-dns'),
    only: nodeAgentName,
  },
  'node.sameNode': {
    help: 'kernel: pods of one node reach each other without ztunnel, under the same policies; or hbone',
    check: (value) => void parseSameNode(value),
    change: flag('--same-node'),
    only: nodeAgentName,
  },
  'node.accelerate': {
    help: 'off, auto or forced: which connections on the kernel path go from socket to socket; auto: of pods that ask for it',
    check: (value) => void parseAcceleration(value),
    change: flag('--accelerate'),
    only: nodeAgentName,
  },
  'node.drainSeconds': {
    help: 'time for connections to finish at an upgrade; the pod’s grace period has to be longer',
    check: (value) => void parseSeconds(value, 'node.drainSeconds'),
    change: flag('--drain-seconds'),
    only: nodeAgentName,
  },
  'controller.replicas': {
    help: '2 to 9: one of them may be evicted at any time',
    check: matching(/^[2-9]$/, 'a number from 2 to 9'),
    change: (workload, value) => ({ ...workload, replicas: Number(value) }),
    only: controllerName,
  },
};

/** `key=value` → what it changes. @throws MeshError INVALID_ARGUMENT naming what there is */
export function parseSetting(text: string): { readonly key: string; readonly value: string } {
  const [, key = '', value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  const setting = Object.hasOwn(settings, key) ? settings[key] : undefined;
  if (setting === undefined) {
    throw new MeshError('INVALID_ARGUMENT', `--set ${text}: there is no setting "${key || text}"`, {
      hint: `there are ${Object.keys(settings).join(', ')}; for all else make an overlay on daemonset/base`,
    });
  }
  setting.check(value);
  return { key, value };
}

/** The objects with these settings; later ones win. @throws MeshError INVALID_ARGUMENT */
export const withSettings = (manifests: readonly Manifest[], texts: readonly string[]): readonly Manifest[] =>
  texts
    .map(parseSetting)
    .reduce(
      (objects, { key, value }) => objects.map((object) => changed(object, settings[key] as Setting, value)),
      manifests,
    );

function changed(object: Manifest, { change, only }: Setting, value: string): Manifest {
  if (object.kind !== 'Deployment' && object.kind !== 'DaemonSet') return object;
  if (only !== undefined && object.metadata.name !== only) return object;
  return { ...object, spec: change(object['spec'] as Workload, value) };
}
