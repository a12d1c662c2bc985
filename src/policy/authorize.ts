/**
 * From a version of the mesh to a verdict on one connection: finds the policies that apply to the destination,
 * compiles them once per workload and version of the policies, and evaluates. What ztunnel calls per connection.
 */
import type { Port, SocketAddress } from '../base/ip.ts';
import type { Verdict } from '../model/connection.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { AuthorizationPolicy, Workload } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';
import { compile, evaluate, type PolicySet } from './evaluate.ts';

export interface AccessRequest {
  /** Proved by certificate; undefined for plaintext. */
  readonly identity: SpiffeId | undefined;
  readonly source: SocketAddress;
  readonly destination: Workload;
  readonly port: Port;
}

/** A function that judges connections and remembers the compiled policies of the last version it saw. */
export function createAuthorizer(): (view: MeshView, request: AccessRequest) => Verdict {
  let index: PolicyIndex | undefined;
  return (view, { identity, source, destination, port }) => {
    if (index?.policies !== view.policies) index = new PolicyIndex(view);
    return evaluate(index.policiesOf(destination), { identity, sourceIp: source.ip, port });
  };
}

/** The policies that apply to `workload`, by key: the mesh's, its namespace's, and those that select it. */
export const policiesFor = (view: MeshView, workload: Workload): readonly AuthorizationPolicy[] =>
  selectedBy([...view.policies.values()], workload, view.config.rootNamespace);

/** Policies by the namespace they apply in, so that one namespace's thousands cost another's nothing. */
class PolicyIndex {
  readonly policies: MeshView['policies'];
  readonly #rootNamespace: string;
  /** Under '': those that may apply in any namespace. */
  readonly #byNamespace: ReadonlyMap<string, readonly AuthorizationPolicy[]>;
  readonly #compiled = new WeakMap<Workload, PolicySet>();

  constructor({ policies, config }: MeshView) {
    this.policies = policies;
    this.#rootNamespace = config.rootNamespace;
    this.#byNamespace = Map.groupBy(policies.values(), ({ scope, namespace }) =>
      scope.type === 'mesh' || namespace === config.rootNamespace ? '' : namespace,
    );
  }

  policiesOf(workload: Workload): PolicySet {
    const known = this.#compiled.get(workload);
    if (known !== undefined) return known;
    const candidates = ['', workload.namespace].flatMap((name) => this.#byNamespace.get(name) ?? []);
    const created = compile(selectedBy(candidates, workload, this.#rootNamespace));
    this.#compiled.set(workload, created);
    return created;
  }
}

function selectedBy(
  policies: readonly AuthorizationPolicy[],
  workload: Workload,
  rootNamespace: string,
): readonly AuthorizationPolicy[] {
  return policies
    .filter((policy) => appliesTo(policy, workload, rootNamespace))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

function appliesTo(policy: AuthorizationPolicy, workload: Workload, rootNamespace: string): boolean {
  const { scope } = policy;
  const reaches = policy.namespace === workload.namespace || policy.namespace === rootNamespace;
  switch (scope.type) {
    case 'mesh':
      return true;
    case 'namespace':
      return policy.namespace === workload.namespace;
    case 'selector':
      return (
        reaches && Object.entries(scope.labels).every(([name, value]) => workload.labels[name] === value)
      );
  }
}
