/** A decider with a mesh, an authorizer that says what the test wants, and everything that it is told of. */
import type { SocketAddress } from '../../../src/base/ip.ts';
import type { ConnectionRecord, Verdict } from '../../../src/model/connection.ts';
import type { NodeName, Workload } from '../../../src/model/mesh.ts';
import type { Arrival, Decision, EnginePod } from '../../../src/net/engine.ts';
import type { LiveConnection } from '../../../src/ztunnel/account.ts';
import type { AccessRequest } from '../../../src/policy/authorize.ts';
import { createDecider } from '../../../src/ztunnel/decider.ts';
import type { KernelPathDoor } from '../../../src/ztunnel/local.ts';
import type { SessionsInKernel } from '../../../src/ztunnel/session-affinity.ts';
import { at, meshOf, type MeshSpec, pod, service } from '../../support/mesh-builder.ts';

export const web = pod('shop/web', { ips: ['10.244.1.5', 'fd00::1:5'] });
export const cart = pod('shop/cart', { ips: ['10.244.2.7'], node: 'node-b' });
export const cart2 = pod('shop/cart-2', { ips: ['10.244.2.8'], node: 'node-b', serviceAccount: 'cart' });
export const legacy = pod('legacy/app', { ips: ['10.244.2.9'], protocol: 'tcp' });
export const world: MeshSpec = {
  workloads: [web, cart, cart2, legacy],
  services: [
    service('shop/cart', '10.96.0.10', '80:8080', [{ address: '10.244.2.7' }, { address: '10.244.2.8' }]),
    service('shop/mixed', '10.96.0.11', '80:8080', [{ address: '10.244.2.9' }]),
    service('shop/empty', '10.96.0.12', '80:8080', [{ address: '10.244.2.7', ready: false }]),
    service('shop/leaving', '10.96.0.13', '80:8080', [{ address: '10.244.2.7', terminating: true }]),
    service('shop/web', '10.96.0.14', '80:9090', [{ address: '10.244.1.5' }]),
    {
      ...service('shop/sticky', '10.96.0.15', '80:8080', [
        { address: '10.244.2.7' },
        { address: '10.244.2.8' },
      ]),
      affinityTimeoutMs: 60_000,
    },
    {
      ...service('shop/local', '10.96.0.16', '80:8080', [{ address: '10.244.2.7', node: 'node-b' }]),
      nodeLocal: true,
    },
    service('shop/zoned', '10.96.0.17', '80:8080', [
      { address: '10.244.2.7', zones: ['zone-1'] },
      { address: '10.244.2.8', zones: ['zone-2'] },
    ]),
  ],
  nodes: [{ name: 'node-a' as NodeName, zone: 'zone-2' }],
};

export const allow: Verdict = { allowed: true, policy: undefined, reason: 'no policy applies' };
export const deny: Verdict = { allowed: false, policy: undefined, reason: 'no rule matched' };

/** Whoever dials without HBONE is a stranger. */
export const noKernelPath: KernelPathDoor = {
  dialler: () => ({ type: 'stranger' }),
  generation: 0n,
  allow: () => {},
  scope: undefined,
};

/** It goes on with none. */
export const noSessions: SessionsInKernel = { find: () => undefined, keep: () => false, forget: () => {} };

export interface SetupOptions {
  readonly verdict?: Verdict;
  readonly original?: SocketAddress;
  readonly random?: () => number;
  readonly kernelPath?: KernelPathDoor;
  readonly sessions?: SessionsInKernel;
}

export function setup(options: SetupOptions = {}) {
  const opened: LiveConnection[] = [];
  const records: ConnectionRecord[] = [];
  const asked: AccessRequest[] = [];
  let now = 1000;
  const mesh = meshOf(world);
  const decider = createDecider({
    mesh,
    originalDestination: () => options.original && { destination: options.original, drawn: 'nothing' },
    kernelPath: options.kernelPath ?? noKernelPath,
    sessions: options.sessions ?? noSessions,
    authorizer: (_view, request) => {
      asked.push(request);
      return options.verdict ?? allow;
    },
    random: options.random ?? (() => 0),
    probeArrived: (uid, port) => uid === web.uid && port === 4711,
    troubles: { failed: () => {}, slow: () => {} },
    now: () => now,
    ledger: { opened: (live) => opened.push(live), completed: (record) => records.push(record) },
  });
  const decide = (arrival: Arrival): Decision => decider.decide(arrival) as Decision;
  return { decide, decider, mesh, opened, records, asked, tick: (ms: number) => (now += ms) };
}

export const enginePod = ({ uid, identity, addresses }: Workload): EnginePod => ({
  uid,
  identity,
  addresses,
  netns: '',
});
export const dial = (): Arrival => ({
  type: 'outbound',
  pod: enginePod(web),
  client: at('10.244.1.5:40000'),
  local: at('10.244.1.5:15001'),
});
export const connect = (
  authority: string,
  more: Partial<Extract<Arrival, { type: 'hbone' }>> = {},
): Arrival => ({
  type: 'hbone',
  pod: enginePod(web),
  client: at('10.244.2.7:51000'),
  local: at('10.244.1.5:15008'),
  peerIdentity: cart.identity,
  authority,
  headers: new Map(),
  ...more,
});
export const plaintext = (local: string, client = '10.244.2.9:52000'): Arrival => ({
  type: 'plaintext',
  pod: enginePod(web),
  client: at(client),
  local: at(local),
});

export function routesOf(decision: Decision) {
  if (decision.type !== 'forward') throw new Error(`refused: ${decision.error.message}`);
  return decision.routes;
}
export const further = (decision: Decision) =>
  decision.type === 'forward' ? decision.furtherRoute?.() : undefined;
export const codeOf = (decision: Decision): string =>
  decision.type === 'refuse' ? decision.error.code : 'forwarded';
