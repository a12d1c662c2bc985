/**
 * From a version of the mesh to a verdict on one connection: finds the policies that apply to the destination and
 * evaluates them. What ztunnel calls per connection. Compiled forms are remembered, per workload for a version of the
 * policies, and from version to version as far as nothing in them changed.
 */
import type { SocketAddress } from '../base/ip.ts';
import type { Verdict } from '../model/connection.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { Service, ServiceKey, Workload } from '../model/mesh.ts';
import type { AuthorizationPolicy } from '../model/policy.ts';
import type { MeshView } from '../model/view.ts';
import { type ApplicableLookup, applicableLookup, servicesNamed } from './applicable.ts';
import type { AccessFacts } from './attributes.ts';
import { evaluate } from './evaluate.ts';
import { type AccessLookup, accessLookup, defaultVerdict } from './namespace-access.ts';
import { type PeerAuthenticationLookup, peerAuthenticationLookup } from './peer-authentication.ts';
import { compilePart, type PolicyPart, type PolicySet, rememberingCompiler } from './policy-set.ts';

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

/** The compiled policies of a workload in a version of the mesh. */
export type PolicySetLookup = (view: MeshView, workload: Workload) => PolicySet;

export function createCompiler(): PolicySetLookup {
  const compiler = rememberingCompiler();
  let current: CompiledVersion | undefined;
  let last: Parts = new Map();
  return (view, workload) => {
    if (current === undefined || !current.isOf(view)) {
      last = current?.parts ?? last;
      current = new CompiledVersion(view, (key, policies) => {
        const known = last.get(key);
        return known !== undefined && sameItems(known.policies, policies)
          ? known
          : compilePart(policies, compiler);
      });
    }
    return current.setFor(workload);
  };
}

type Parts = Map<string, PolicyPart>;

/** All policies of one version of the mesh, compiled as they are asked for. Keeps nothing else of that version alive. */
class CompiledVersion {
  readonly parts: Parts = new Map();
  readonly #policies: MeshView['policies'];
  readonly #peerAuthentications: MeshView['peerAuthentications'];
  readonly #access: MeshView['access'];
  readonly #compile: (key: string, policies: readonly AuthorizationPolicy[]) => PolicyPart;
  readonly #sets = new WeakMap<Workload, PolicySet>();
  readonly #lookup: ApplicableLookup<AuthorizationPolicy>;
  readonly #peers: PeerAuthenticationLookup;
  readonly #accessOf: AccessLookup;
  /** The Services that policies name: who serves them decides whom those policies concern. */
  readonly #services: readonly (readonly [ServiceKey, Service | undefined])[];

  constructor(
    view: MeshView,
    compile: (key: string, policies: readonly AuthorizationPolicy[]) => PolicyPart,
  ) {
    this.#policies = view.policies;
    this.#peerAuthentications = view.peerAuthentications;
    this.#access = view.access;
    this.#compile = compile;
    this.#lookup = applicableLookup(view.policies.values(), view);
    this.#peers = peerAuthenticationLookup(view);
    this.#accessOf = accessLookup(view);
    this.#services = [...view.policies.values()]
      .flatMap(servicesNamed)
      .map((key) => [key, view.services.get(key)]);
  }

  isOf(view: MeshView): boolean {
    if (view.policies !== this.#policies) return false;
    if (view.peerAuthentications !== this.#peerAuthentications) return false;
    if (view.access !== this.#access) return false;
    return this.#services.every(([key, service]) => view.services.get(key) === service);
  }

  setFor(workload: Workload): PolicySet {
    const known = this.#sets.get(workload);
    if (known !== undefined) return known;
    const set = this.#compiled(workload);
    this.#sets.set(workload, set);
    return set;
  }

  #compiled(workload: Workload): PolicySet {
    const { mesh, namespace, selected } = this.#lookup(workload);
    const parts = [
      this.#part('mesh', mesh),
      this.#part(`namespace ${workload.namespace}`, namespace),
      this.#part(selectedKey(selected), selected),
    ];
    return {
      parts: parts.filter(({ policies }) => policies.length > 0),
      peers: this.#peers(workload),
      inboundDefault: defaultVerdict(this.#accessOf(workload)),
    };
  }

  #part(key: string, policies: readonly AuthorizationPolicy[]): PolicyPart {
    const known = this.parts.get(key);
    if (known !== undefined) return known;
    const part = this.#compile(key, policies);
    this.parts.set(key, part);
    return part;
  }
}

/** The same for the pods of one Deployment. */
const selectedKey = (policies: readonly AuthorizationPolicy[]): string =>
  `selected ${policies.map(({ key }) => key).join(' ')}`;

const sameItems = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i]);
