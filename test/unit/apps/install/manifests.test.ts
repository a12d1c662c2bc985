/** What the manifests say and what the code does must be the same: ports, names, capabilities, mounts, rights. */
import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { kustomize, type Manifest } from '../../../../src/apps/install/kustomize.ts';
import { manifestFiles } from '../../../../src/apps/install/manifest-files.ts';
import { nodeCapabilities } from '../../../../src/apps/node/capabilities.ts';
import { clusterControllerConfig } from '../../../../src/apps/config/cluster-controller-config.ts';
import { nodeConfig } from '../../../../src/apps/config/node-config.ts';
import { degradedPrograms } from '../../../../src/apps/node/observability.ts';
import { caPort, metricsPort, readinessPort } from '../../../../src/base/ports.ts';
import * as names from '../../../../src/controller/kubernetes/names.ts';
import { counterNames } from '../../../../src/datapath/abi/counters.ts';
import { policyFeeds } from '../../../../src/kube/api/feed.ts';
import { kinds } from '../../../../src/kube/objects.ts';
import { dataplaneModeLabel } from '../../../../src/kube/translate/workload.ts';
import { meshCatalogue } from '../../../../src/telemetry/catalogue.ts';
import type { Rule } from '../../../support/rbac.ts';

interface PodSpec {
  readonly [field: string]: unknown;
  readonly serviceAccountName: string;
  readonly hostNetwork?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly hostPID?: boolean;
  readonly containers: readonly Container[];
  readonly volumes?: readonly { readonly name: string; readonly [source: string]: unknown }[];
}
interface Container {
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly command: readonly string[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe?: { readonly exec?: { readonly command: readonly string[] } };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext: {
    readonly privileged?: boolean;
    readonly allowPrivilegeEscalation?: boolean;
    readonly readOnlyRootFilesystem?: boolean;
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
}

const files = manifestFiles();
const base = kustomize(files, 'base');
const find = (kind: string, name: string, objects = base): Manifest => {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
};
const podSpec = (kind: string, name: string): PodSpec =>
  (find(kind, name)['spec'] as { readonly template: { readonly spec: PodSpec } }).template.spec;
const node = podSpec('DaemonSet', names.nodeAgentName);
const controller = podSpec('Deployment', names.controllerName);
const [nodeContainer, controllerContainer] = [node, controller].map(
  ({ containers }) => containers[0] as Container,
) as [Container, Container];
const environment = ({ env }: Container): Record<string, string> =>
  Object.fromEntries(env.map(({ name, value }) => [name, value ?? `<${name}>`]));
const ports = ({ ports: all = [] }: Container) => all.map(({ containerPort }) => containerPort);

const byName = (a: { resource: string }, b: { resource: string }): number =>
  a.resource < b.resource ? -1 : 1;

const plurals: Readonly<Record<string, string>> = {
  AuthorizationPolicy: 'authorizationpolicies',
  NamespaceAccess: 'namespaceaccesses',
};

describe('every object', () => {
  it('is in the mesh’s namespace or in none, and says that it is of the mesh', () => {
    for (const overlay of ['base', 'overlays/monitoring', 'overlays/network-policy']) {
      for (const { metadata } of kustomize(files, overlay)) {
        expect([undefined, names.meshNamespace]).toContain(metadata.namespace);
        expect(metadata.labels).toMatchObject({ 'app.kubernetes.io/part-of': 'mesh-ebpf' });
      }
    }
  });

  it('of the mesh itself is never in the mesh', () => {
    expect(find('Namespace', names.meshNamespace).metadata.labels).toMatchObject({
      [dataplaneModeLabel]: 'none',
    });
  });

  it('is also what kubectl apply -k daemonset/ applies', () => {
    expect(kustomize(files, '.')).toEqual(base);
  });
});

describe('the node program’s pod', () => {
  it('has the capabilities that the code needs, and is not privileged', () => {
    const { privileged, allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities } =
      nodeContainer.securityContext;
    expect([privileged, allowPrivilegeEscalation, readOnlyRootFilesystem]).toEqual([false, false, true]);
    expect(capabilities.drop).toEqual(['ALL']);
    expect(capabilities.add?.toSorted()).toEqual(Object.keys(nodeCapabilities).toSorted());
  });

  it('has a reason beside each capability, mount and right', () => {
    const nodeFile = files['base/node.yaml'] ?? '';
    for (const name of Object.keys(nodeCapabilities))
      expect(nodeFile).toMatch(new RegExp(`# .*\\n +- ${name}\\n`));
    for (const file of ['base/node-rbac.yaml', 'base/controller-rbac.yaml']) {
      const rules = (files[file] ?? '').match(/(?:.*\n)  - apiGroups:/g) ?? [];
      expect(rules.length).toBeGreaterThan(3);
      for (const rule of rules) expect(rule).toMatch(/^ +# /);
    }
  });

  it('starts with what the code asks for: its command line and environment are complete', () => {
    const config = nodeConfig({ objects: '/objects' }, environment(nodeContainer), '/sys/fs/cgroup');
    expect(config.nodeName).toBe('<NODE_NAME>');
    expect(config.caAddress).toBe(`${names.controllerName}.${names.meshNamespace}.svc:${caPort}`);
    expect(config.caRootFile).toBe(`/var/run/secrets/mesh-ebpf/ca/${names.trustBundleEntry}`);
    expect(nodeContainer.args[0]).toBe('node');
  });

  it('is followed by the next version’s on the same node, which says itself when it serves', () => {
    const { updateStrategy } = find('DaemonSet', names.nodeAgentName)['spec'] as {
      readonly updateStrategy: { readonly rollingUpdate: object };
    };
    expect(updateStrategy.rollingUpdate).toEqual({ maxSurge: '10%', maxUnavailable: 0 });
    // With a declared port the scheduler finds no room beside the pod that has it.
    expect(nodeContainer.ports).toBeUndefined();
    const socket = nodeContainer.args.find((arg) => arg.startsWith('--ready-socket='))?.split('=')[1] ?? '';
    const [keeper] = nodeContainer.command;
    expect(nodeContainer.readinessProbe?.exec?.command).toEqual([keeper, `--probe=${socket}`]);
    // In a volume of the pod's own.
    const mount = nodeContainer.volumeMounts?.find(({ mountPath }) => socket.startsWith(`${mountPath}/`));
    expect(node.volumes?.find(({ name }) => name === mount?.name)).toHaveProperty('emptyDir');
    const draining = Number(
      nodeContainer.args.find((arg) => arg.startsWith('--drain-seconds='))?.split('=')[1],
    );
    expect(node.terminationGracePeriodSeconds).toBeGreaterThan(draining);
  });

  it('is scraped where it listens', () => {
    const monitor = JSON.stringify(
      find('PodMonitor', names.nodeAgentName, kustomize(files, 'overlays/monitoring')),
    );
    expect(monitor).toContain(`"$1:${metricsPort}"`);
    expect(monitor).toContain(`"[$1]:${metricsPort}"`);
  });

  it('has every directory that the code writes to, and the host’s view of processes and network', () => {
    const { pinRoot, runDir, caRootFile, tokenFile } = nodeConfig(
      { objects: '/objects' },
      environment(nodeContainer),
      '/sys/fs/cgroup',
    );
    const mounts = nodeContainer.volumeMounts?.map(({ mountPath }) => mountPath) ?? [];
    for (const path of [
      pinRoot,
      runDir,
      caRootFile,
      tokenFile,
      '/var/lib/mesh-ebpf/x',
      '/sys/fs/cgroup/x',
      '/host/proc/sys',
    ]) {
      expect(mounts.some((mount) => path.startsWith(`${mount}/`))).toBe(true);
    }
    expect([node.hostNetwork, node.hostPID]).toEqual([true, true]);
    expect(nodeContainer.volumeMounts?.map(({ name }) => name).toSorted()).toEqual(
      node.volumes?.map(({ name }) => name).toSorted(),
    );
  });

  it('proves who it is with a token for the controller only, and trusts what the controller publishes', () => {
    const volume = (name: string): unknown => node.volumes?.find((each) => each.name === name);
    expect(volume('token')).toMatchObject({
      projected: { sources: [{ serviceAccountToken: { audience: names.tokenAudience, path: 'token' } }] },
    });
    expect(volume('ca')).toMatchObject({ configMap: { name: names.trustBundleMap } });
    expect(node.serviceAccountName).toBe(names.nodeAgentName);
  });

  it('may read every kind that is translated, and change no spec', () => {
    const rules = find('ClusterRole', names.nodeAgentName)['rules'] as readonly Rule[];
    const granted = rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) => resources.map((resource) => ({ group, resource, verbs }))),
    );
    const read = granted.filter(({ verbs }) => verbs.includes('list'));
    // Service accounts are in the lab's manifests only: a pod names its own.
    const { ServiceAccount: _unread, ...kindsRead } = kinds;
    const wanted = Object.entries(kindsRead).map(
      ([
        kind,
        {
          apiVersions: [version = ''],
        },
      ]) => ({
        group: version.includes('/') ? version.split('/')[0] : '',
        resource: plurals[kind] ?? `${kind.toLowerCase()}s`,
        verbs: ['list', 'watch'],
      }),
    );
    expect(read.toSorted(byName)).toEqual(wanted.toSorted(byName));
    expect(granted.filter(({ verbs }) => !verbs.includes('list')).map(({ resource }) => resource)).toEqual([
      'customresourcedefinitions',
      'pods/status',
      'events',
    ]);
  });

  it.each([names.nodeAgentName, names.controllerName])(
    'may follow the definitions of the kinds that may be missing, by name: %s',
    (account) => {
      const rules = find('ClusterRole', account)['rules'] as readonly Rule[];
      const rule = rules.find(({ resources }) => resources.includes('customresourcedefinitions'));
      const missing = policyFeeds.filter(({ optional }) => optional).map(({ resource }) => resource);
      expect(rule?.resourceNames?.toSorted()).toEqual(missing.toSorted());
      expect(rule?.verbs).toEqual(['watch']);
    },
  );
});

describe('the controller’s pod', () => {
  it('needs no privilege at all', () => {
    const { securityContext } = controllerContainer;
    expect(securityContext.capabilities).toEqual({ drop: ['ALL'] });
    expect([securityContext.allowPrivilegeEscalation, securityContext.readOnlyRootFilesystem]).toEqual([
      false,
      true,
    ]);
    expect(controller['securityContext']).toMatchObject({ runAsNonRoot: true });
    expect([controller.hostNetwork, controller.hostPID, controller.volumes]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('serves where nodes look for it', () => {
    const { namespace, serverNames, listen, nodeAgent } = clusterControllerConfig(
      {},
      {
        ...environment(controllerContainer),
        POD_NAMESPACE: names.meshNamespace,
      },
    );
    expect([namespace, listen.port, nodeAgent]).toEqual([names.meshNamespace, caPort, names.nodeAgentName]);
    expect(serverNames).toContain(environment(nodeContainer)['CA_ADDRESS']?.replace(/:\d+$/, ''));
    expect(ports(controllerContainer)).toEqual([caPort, metricsPort, readinessPort]);
    expect(controllerContainer.args.slice(0, 2)).toEqual(['controller', '--kubernetes']);
    expect(find('Service', names.controllerName)['spec']).toMatchObject({
      selector: { 'app.kubernetes.io/name': names.controllerName },
      ports: [{ port: caPort, targetPort: 'grpc-ca' }, { port: metricsPort }],
    });
  });

  it('shares trust domain, cluster domain and cluster id with the node programs', () => {
    for (const name of ['TRUST_DOMAIN', 'CLUSTER_DOMAIN', 'CLUSTER_ID']) {
      expect(environment(controllerContainer)[name]).toBe(environment(nodeContainer)[name]);
    }
  });
});

interface Alert {
  readonly alert: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

describe('alerts', () => {
  const { spec } = find('PrometheusRule', 'mesh-ebpf', kustomize(files, 'overlays/monitoring'));
  const rules = JSON.stringify(spec);
  const alerts = (spec as { groups: readonly { rules: readonly Alert[] }[] }).groups.flatMap(
    (group) => group.rules,
  );

  it('are about metrics that there are', () => {
    const used = new Set(rules.match(/\bmesh_\w+/g));
    expect(used.size).toBeGreaterThan(5);
    for (const metric of used) expect(Object.keys(meshCatalogue)).toContain(metric);
  });

  it('are about events that the programs count', () => {
    const used = [...rules.matchAll(/event=\\"(\w+)\\"/g)].map(([, event]) => event);
    expect(used).toEqual(
      expect.arrayContaining(['endedUntold', 'droppedUnrecorded', 'refusedShare', 'kernelAsked', 'kernel']),
    );
    for (const event of used) expect(counterNames).toContain(event);
  });

  it('are about each reason for which programs are not what they should be', () => {
    const used = [...rules.matchAll(/mesh_bpf_programs_degraded\{reason=\\"(\w+)\\"\}/g)].map(
      ([, reason]) => reason,
    );
    const reasons = degradedPrograms({ degraded: undefined, untried: undefined }).map(
      ({ labels }) => labels.reason,
    );
    expect(used).toEqual(reasons);
  });

  it('say how urgent they are, on which node, and have a section in the runbook', () => {
    const runbook = readFileSync(new URL('../../../../docs/alerts.md', import.meta.url), 'utf8');
    for (const { alert, labels, annotations } of alerts) {
      expect(['critical', 'warning']).toContain(labels['severity']);
      expect(Object.keys(annotations)).toEqual(['summary', 'description']);
      expect(runbook).toContain(`\n## ${alert}\n`);
    }
    const sections = [...runbook.matchAll(/^## (Mesh\w+)$/gm)].map(([, name]) => name);
    expect(sections).toEqual(alerts.map(({ alert }) => alert));
  });
});
