/**
 * From a version of the mesh to a verdict on one connection: finds the policies that apply to the destination and
 * evaluates them. What ztunnel calls per connection. Compiled forms are remembered, and follow from version to version at
 * the cost of what changed: a decision right after a change takes as long as any.
 */
import type { SocketAddress } from '../base/ip.ts';
import type { Verdict } from '../model/connection.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { Service, ServiceKey, Workload } from '../model/mesh.ts';
import { VersionedMap } from '../model/versioned-map.ts';
import type { MeshView } from '../model/view.ts';
import type { AccessFacts } from './attributes.ts';
import { evaluate } from './evaluate.ts';
import { type AccessLookup, accessLookup, defaultVerdict } from './namespace-access.ts';
import { LiveParts, usualParts } from './live-parts.ts';
import {
  type PeerAuthenticationLookup,
  peerAuthenticationLookup,
  type PeerAuthentications,
} from './peer-authentication.ts';
import { type PolicySet, rememberingCompiler, type RuleCompiler } from './policy-set.ts';

export interface AccessRequest {
  /** Proved by certificate; undefined for plaintext. */
  readonly identity: SpiffeId | undefined;
  readonly source: SocketAddress;
  readonly destination: Workload;
  /** The workload's address and port that is connected to. */
  readonly target: SocketAddress;
}

/** A function that judges connections. `policySetFor` remembers the compiled policies of the last version it saw. */
export const createAuthorizer =
  (policySetFor = createCompiler()): ((view: MeshView, request: AccessRequest) => Verdict) =>
  (view, request) =>
    evaluate(policySetFor(view, request.destination), accessFacts(request));

export const accessFacts = ({ identity, source, target }: AccessRequest): AccessFacts => ({
  identity,
  sourceIp: source.ip,
  destinationIp: target.ip,
  port: target.port,
});

/** The compiled policies of a workload in a version of the mesh: to be used at once, because they follow the next one. */
export type PolicySetLookup = (view: MeshView, workload: Workload) => PolicySet;

/** @param maxParts of the policies that select a workload; beyond it they are taken together */
export function createCompiler(maxParts = usualParts): PolicySetLookup {
  const compiler = rememberingCompiler();
  let compiled: Compiled | undefined;
  return (view, workload) => {
    const current =
      compiled?.config === view.config ? compiled : new Compiled(view.config, compiler, maxParts);
    // What could not be followed to its end is made anew: nothing is decided by half of a change.
    compiled = undefined;
    current.follow(view);
    compiled = current;
    return current.setFor(view, workload);
  };
}

/**
 * The compiled policies of the version that was asked about last; of the next one only what changed is compiled, when it
 * is first asked about. Keeps nothing else of a version alive.
 */
class Compiled {
  readonly config: MeshView['config'];
  readonly #parts: LiveParts;
  #policies: MeshView['policies'] = new Map();
  #peerAuthentications: MeshView['peerAuthentications'] | undefined;
  #access: MeshView['access'] | undefined;
  /** The Services that policies name: who serves them decides whom those policies concern. */
  #services: readonly (readonly [ServiceKey, Service | undefined])[] = [];
  #sets = new WeakMap<Workload, PolicySet>();
  #peers: PeerAuthenticationLookup = () => noPeers;
  #accessOf: AccessLookup = () => [];

  constructor(config: MeshView['config'], compiler: RuleCompiler, maxParts: number) {
    this.config = config;
    this.#parts = new LiveParts(config, compiler, maxParts);
  }

  follow(view: MeshView): void {
    const others = [this.#followPolicies(view), this.#followServices(view), this.#followRest(view)];
    if (others.includes(true)) this.#sets = new WeakMap();
  }

  setFor(view: MeshView, workload: Workload): PolicySet {
    const known = this.#sets.get(workload);
    if (known !== undefined) return known;
    const set: PolicySet = {
      parts: this.#parts.partsFor(workload, view.services),
      peers: this.#peers(workload),
      inboundDefault: defaultVerdict(this.#accessOf(workload)),
    };
    this.#sets.set(workload, set);
    return set;
  }

  /** Returns whether some workload has other parts now. */
  #followPolicies({ policies }: MeshView): boolean {
    if (policies === this.#policies) return false;
    const before = this.#policies;
    let isOther = false;
    for (const [key, policy] of VersionedMap.differences(before, policies)) {
      if (this.#parts.change(before.get(key), policy)) isOther = true;
    }
    this.#policies = policies;
    this.#noteServices();
    return isOther;
  }

  #noteServices(): void {
    const known = new Map(this.#services);
    this.#services = [...this.#parts.servicesNamed].map((key) => [key, known.get(key)]);
  }

  #followServices({ services }: MeshView): boolean {
    if (this.#services.every(([key, service]) => services.get(key) === service)) return false;
    this.#services = this.#services.map(([key]) => [key, services.get(key)]);
    return true;
  }

  #followRest(view: MeshView): boolean {
    const { peerAuthentications, access } = view;
    if (peerAuthentications === this.#peerAuthentications && access === this.#access) return false;
    this.#peerAuthentications = peerAuthentications;
    this.#access = access;
    this.#peers = peerAuthenticationLookup(view);
    this.#accessOf = accessLookup(view);
    return true;
  }
}

const noPeers: PeerAuthentications = { mesh: undefined, namespace: undefined, workload: undefined };
