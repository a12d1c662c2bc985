/**
 * Our node with the pod `shop/web` and one foreign proxy with the workload `shop/cart`, an application behind each.
 * What differs between foreign proxies is how they are started and how their application reaches them.
 */
import { type Exchanging, ports, serveApp } from './apps.ts';
import { type Authority, type OurMesh, web } from './our-mesh.ts';
import type { Process } from './processes.ts';
import type { Member } from './topology.ts';

export const cart = { name: 'cart', serviceAccount: 'cart', ip: '10.91.2.5' } as const;
export const trustDomain = 'cluster.local';
export const identities = {
  web: `spiffe://${trustDomain}/ns/shop/sa/${web.serviceAccount}`,
  cart: `spiffe://${trustDomain}/ns/shop/sa/${cart.serviceAccount}`,
} as const;

/** What an application dials. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

export interface Way {
  readonly parties: Exchanging;
  /** The other side's application: the port everybody may use, and the one policy guards. */
  readonly open: Target;
  readonly guarded: Target;
}

export interface ForeignProxy {
  readonly process: Process;
  /** How the application beside it reaches ours. */
  readonly open: Target;
  readonly guarded: Target;
}

export interface Pair {
  readonly mesh: OurMesh;
  readonly authority: Authority;
  readonly peer: Member;
  readonly node: Process;
  readonly proxy: Process;
  readonly fromUs: Way;
  readonly fromThem: Way;
}

export type StartProxy = (mesh: OurMesh, authority: Authority, peer: Member) => Promise<ForeignProxy>;

/** Refuses `shop/cart` at the guarded port of `shop/web`. */
const policy = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-cart, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules:
    - from: [{source: {principals: [${trustDomain}/ns/shop/sa/cart]}}]
      to: [{operation: {ports: ['${ports.guarded}']}}]
`;

/** `mesh` is the caller's to close, also when this fails. */
export async function startPair(mesh: OurMesh, startProxy: StartProxy): Promise<Pair> {
  const { topology, pod } = mesh;
  mesh.writeObjects('policy.yaml', policy);
  const peer = topology.addPeer(cart.name, cart.ip);
  const authority = await mesh.startAuthority({ name: 'main', port: 15_012, trustDomain });
  const node = await mesh.startNode(authority, trustDomain);
  const proxy = await startProxy(mesh, authority, peer);
  const ours = await serveApp(topology, web.name, pod);
  const theirs = await serveApp(topology, cart.name, peer);
  if (!proxy.process.running) throw new Error(`the proxy ended:\n${proxy.process.output().slice(-2000)}`);
  return {
    mesh,
    authority,
    peer,
    node,
    proxy: proxy.process,
    fromUs: { parties: { topology, from: pod, server: theirs }, ...targetsAt(cart.ip) },
    fromThem: { parties: { topology, from: peer, server: ours }, open: proxy.open, guarded: proxy.guarded },
  };
}

export const targetsAt = (host: string) => ({
  open: { host, port: ports.open },
  guarded: { host, port: ports.guarded },
});
