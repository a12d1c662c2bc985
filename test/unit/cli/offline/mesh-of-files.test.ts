import { describe, expect, it } from '@jest/globals';
import { meshOfFiles } from '../../../../src/cli/offline/mesh-of-files.ts';
import { serviceKey } from '../../../../src/model/mesh.ts';
import { meshConfig } from '../../../support/mesh-builder.ts';
import { deployed } from './manifests.ts';

const meshOf = (text: string) => meshOfFiles([{ path: 'all.yaml', text }], meshConfig);
const podsIn = (text: string) =>
  Object.fromEntries(
    [...meshOf(text).view.workloads.values()].map((pod) => [`${pod.namespace}/${pod.name}`, pod]),
  );

const template = (kind: string, spec: string, version = 'apps/v1'): string =>
  `apiVersion: ${version}\nkind: ${kind}\nmetadata: { name: it, namespace: shop }\nspec: ${spec}\n`;
const podTemplate = '{ metadata: { labels: { app: it } }, spec: { containers: [{ name: c }] } }';

describe('the mesh of files', () => {
  it('has a pod for each workload, with the identity, labels and owner its pods will have', () => {
    expect(podsIn(deployed)).toMatchObject({
      'shop/web': {
        identity: 'spiffe://cluster.local/ns/shop/sa/web',
        labels: { app: 'web' },
        owner: { name: 'web', kind: 'deployment' },
        protocol: 'hbone',
      },
      'shop/db': { owner: { name: 'db', kind: 'statefulset' } },
      'other/guest': { serviceAccount: 'default', protocol: 'hbone' },
    });
  });

  it.each([
    ['Deployment', `{ template: ${podTemplate} }`, 'apps/v1'],
    ['DaemonSet', `{ template: ${podTemplate} }`, 'apps/v1'],
    ['ReplicaSet', `{ template: ${podTemplate} }`, 'apps/v1'],
    ['Job', `{ template: ${podTemplate} }`, 'batch/v1'],
    ['CronJob', `{ jobTemplate: { spec: { template: ${podTemplate} } } }`, 'batch/v1'],
  ])('reads the template of a %s', (kind, spec, version) => {
    expect(podsIn(template(kind, spec, version))['shop/it']).toMatchObject({
      labels: { app: 'it' },
      owner: { name: 'it', kind: kind.toLowerCase() },
    });
  });

  it('has addresses for pods and Services, and endpoints by their selectors', () => {
    const { view } = meshOf(deployed);
    const service = view.services.get(serviceKey('shop', 'db'));
    const [vip] = service?.vips ?? [];
    expect(vip).toMatch(/^198\.19\./);
    const [endpoint] = service?.endpoints ?? [];
    expect(endpoint).toMatchObject({ ready: true, ports: new Map([[5432, 5433]]) });
    expect(endpoint && view.workloadByIp(endpoint.address)?.name).toBe('db');
  });

  it('leaves alone what the files say: addresses, slices, status', () => {
    const { view, notes } = meshOf(`
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Pod
metadata: { name: one, namespace: shop, labels: { app: one } }
spec: { nodeName: n1, containers: [{ name: c }] }
status: { phase: Running, podIP: 10.9.9.9 }
---
apiVersion: v1
kind: Service
metadata: { name: one, namespace: shop }
spec: { clusterIP: 10.96.7.7, selector: { app: one }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: bare, namespace: shop }
spec: { clusterIP: None, selector: { app: one }, ports: [{ port: 80 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: one-x, namespace: shop, labels: { kubernetes.io/service-name: one } }
addressType: IPv4
endpoints: []
`);
    expect([...view.workloads.values()]).toMatchObject([{ node: 'n1', addresses: ['10.9.9.9'] }]);
    expect(view.services.get(serviceKey('shop', 'one'))).toMatchObject({
      vips: ['10.96.7.7'],
      endpoints: [],
    });
    expect(view.services.get(serviceKey('shop', 'bare'))).toMatchObject({
      vips: [],
      endpoints: [{ address: '10.9.9.9' }],
    });
    expect(notes).toEqual([]);
  });

  it('says that the pods of a namespace that is not in the files count as outside of the mesh', () => {
    const { view, notes } = meshOf(template('Deployment', `{ template: ${podTemplate} }`));
    expect([...view.workloads.values()]).toMatchObject([{ protocol: 'tcp' }]);
    expect(notes).toContainEqual(
      expect.stringMatching(/^not in the files: namespace shop; .*dataplane-mode=ambient/),
    );
  });

  it('says what it made up and what it left aside', () => {
    expect(meshOf(deployed).notes).toEqual([
      expect.stringContaining('no address of 3 pods'),
      'of no meaning for the mesh: 1 ConfigMap',
    ]);
  });

  it.each([
    [
      'a kind that looks misspelled',
      'apiVersion: v1\nkind: Servise\nmetadata: { name: x }\n',
      /all\.yaml:2:7: kind: unknown kind "Servise"/,
    ],
    [
      'a group that looks misspelled',
      'apiVersion: security.itsio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: x }\n',
      /apiVersion/,
    ],
    [
      'a version that is not known',
      'apiVersion: security.istio.io/v9\nkind: AuthorizationPolicy\nmetadata: { name: x }\n',
      /apiVersion/,
    ],
    [
      'a workload without a template',
      template('Deployment', '{}'),
      /deployment\/shop\/it: spec\.template: spec is missing/,
    ],
    ['what is no object', 'just text', /expected an object/],
    [
      'a policy that cannot be read',
      'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: x }\nspec: { rules: [{ to: [{ operation: { ports: ["http"] } }] }] }\n',
      /ports/,
    ],
    [
      'two pods of one name',
      `${deployed}\n---\n${template('Deployment', `{ template: ${podTemplate} }`)}---\n${template('Job', `{ template: ${podTemplate} }`, 'batch/v1')}`,
      /there is a Pod of this name already/,
    ],
  ])('refuses %s, with its place', (_what, text, expected) => {
    expect(() => meshOf(text)).toThrow(
      expect.objectContaining({ code: 'INVALID_MANIFEST', message: expect.stringMatching(expected) }),
    );
  });

  it.each([
    'serving.knative.dev/v1 Service',
    'security.istio.io/v1 RequestAuthentication',
    'v1 Secret',
    'monitoring.coreos.com/v1 ServiceMonitor',
    'networking.k8s.io/v1 NetworkPolicy',
  ])('leaves %s aside', (what) => {
    const [version, kind] = what.split(' ');
    expect(
      meshOf(`apiVersion: ${version}\nkind: ${kind}\nmetadata: { name: x }\nspec: { any: thing }\n`).notes,
    ).toEqual([`of no meaning for the mesh: 1 ${kind}`]);
  });
});
