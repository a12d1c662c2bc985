/** Meshes of every kind for the choice among a Service's endpoints, and the kernel's side of it. */
import * as fc from 'fast-check';
import { type IpAddress, parseIp, type Port } from '../../../../src/base/ip.ts';
import type {
  Endpoint,
  MeshNode,
  MeshState,
  NodeName,
  Service,
  Workload,
  WorkloadUid,
} from '../../../../src/model/mesh.ts';
import { pod, service } from '../../../support/mesh-builder.ts';

export const scope = { node: 'node-a' as NodeName };

const ips = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', 'fd00::1', 'fd00::2'].map(parseIp);
const vips = ['10.96.0.1', '10.96.0.2', 'fd96::1', '10.0.0.4'].map(parseIp);
const nodes = ['node-a', 'node-b'] as const;
const ports = [80, 443] as readonly number[] as readonly Port[];
const targetPorts = [8080, 8443, 15008] as readonly number[] as readonly Port[];

const workload: fc.Arbitrary<Workload> = fc
  .record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    addresses: fc.uniqueArray(fc.constantFrom(...ips), { minLength: 1, maxLength: 2 }),
    protocol: fc.constantFrom('hbone', 'hbone', 'hbone', 'hbone', 'tcp'),
    hostNetwork: fc.constantFrom(false, false, false, false, false, true),
    node: fc.constantFrom('node-a', 'node-a', 'node-a', 'node-b'),
    asksForHbone: fc.constantFrom(false, false, false, false, true),
  })
  .map(({ name, asksForHbone, node, ...spec }) => ({
    ...pod(`shop/${name}`, { ips: [] }),
    ...spec,
    node: node as NodeName,
    uid: name as WorkloadUid,
    ...(asksForHbone && { sameNode: 'hbone' as const }),
  }));

const endpoint: fc.Arbitrary<Endpoint> = fc
  .record({
    address: fc.constantFrom(...ips),
    ports: fc.uniqueArray(fc.tuple(fc.constantFrom(...ports), fc.constantFrom(...targetPorts)), {
      minLength: 1,
      maxLength: 2,
      selector: ([port]) => port,
    }),
    ready: fc.constantFrom(true, true, true, false),
    serving: fc.boolean(),
    terminating: fc.boolean(),
    node: fc.option(fc.constantFrom(...nodes), { nil: undefined }),
    hints: fc.option(
      fc.record({
        zones: fc.subarray(['zone-1', 'zone-2']),
        nodes: fc.subarray([...nodes]),
      }),
      { nil: undefined, freq: 1 },
    ),
  })
  .map(({ ports: served, node, hints, ...rest }) => ({
    ...rest,
    ports: new Map(served),
    ...(node !== undefined && { node: node as NodeName }),
    ...(hints !== undefined && { hints }),
  }));

/** `isOwned`: endpoints say which pod they are, which some source's do not. */
const someService = (isOwned: boolean): fc.Arbitrary<Service> =>
  fc
    .record({
      name: fc.constantFrom('x', 'y', 'z'),
      vips: fc.uniqueArray(fc.constantFrom(...vips), { minLength: 1, maxLength: 2 }),
      endpoints: fc.uniqueArray(endpoint, { minLength: 1, maxLength: 5, selector: ({ address }) => address }),
      isLocal: fc.constantFrom(false, false, true),
      hasSessions: fc.constantFrom(false, false, false, true),
      pod: fc.constantFrom('a', 'b', 'gone'),
    })
    .map(({ name, isLocal, hasSessions, endpoints, pod: uid, ...rest }) => ({
      ...service(`shop/${name}`, '10.96.0.9', '80:8080', []),
      ...rest,
      ports: [
        ...ports.map((port) => ({ name: String(port), port, protocol: 'tcp' as const })),
        { name: 'dns', port: 53 as Port, protocol: 'udp' as const },
      ],
      endpoints: endpoints.map((each, i) =>
        isOwned && i === 0 ? { ...each, pod: uid as WorkloadUid } : each,
      ),
      ...(isLocal && { nodeLocal: true as const }),
      ...(hasSessions && { affinityTimeoutMs: 60_000 }),
    }));

const meshNodes: fc.Arbitrary<readonly MeshNode[]> = fc
  .constantFrom('zone-1', 'zone-2', undefined)
  .map((zone) => [{ name: scope.node, zone }]);

export const anyState = ({ isOwned = false } = {}): fc.Arbitrary<MeshState> =>
  fc.record({
    workloads: fc.uniqueArray(workload, { minLength: 1, maxLength: 5, selector: ({ uid }) => uid }),
    services: fc.uniqueArray(someService(isOwned), { maxLength: 3, selector: ({ key }) => key }),
    policies: fc.constant([]),
    peerAuthentications: fc.constant([]),
    nodes: meshNodes,
  });

export const allVips: readonly IpAddress[] = vips;
export const allPorts = ports;
