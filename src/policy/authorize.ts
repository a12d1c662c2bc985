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
import { accessLookup, defaultVerdict } from './namespace-access.ts';

export interface AccessRequest {
  /** Proved by certificate; undefined for plaintext. */
  readonly identity: SpiffeId | undefined;
  readonly source: SocketAddress;
  readonly destination: Workload;
  readonly port: Port;
}

/** A function that judges connections and remembers the compiled policies of the last version it saw. */
export function createAuthorizer(): (view: MeshView, request: AccessRequest) => Verdict {
  let current: { policies: MeshView['policies']; compiledFor: (workload: Workload) => PolicySet } | undefined;
  return (view, { identity, source, destination, port }) => {
    if (current?.policies !== view.policies) {
      current = { policies: view.policies, compiledFor: compileOnce(policyLookup(view)) };
    }
    const verdict = evaluate(current.compiledFor(destination), { identity, sourceIp: source.ip, port });
    const isDecided = !verdict.allowed || verdict.policy !== undefined;
    return isDecided ? verdict : { ...verdict, ...defaultVerdict(accessLookup(view)(destination)) };
  };
}

function compileOnce(policiesFor: PolicyLookup): (workload: Workload) => PolicySet {
  const compiled = new WeakMap<Workload, PolicySet>();
  return (workload) => {
    const known = compiled.get(workload);
    if (known !== undefined) return known;
    const created = compile(policiesFor(workload));
    compiled.set(workload, created);
    return created;
  };
}

/** The policies that apply to a workload, by key: the mesh's, its namespace's, and those that select it. */
export type PolicyLookup = (workload: Workload) => readonly AuthorizationPolicy[];

/** Sorts once for a namespace, so that a hundred thousand workloads can be asked about. */
export function policyLookup({ policies, config: { rootNamespace } }: MeshView): PolicyLookup {
  // Under '': those that may apply in any namespace.
  const byNamespace = Map.groupBy(policies.values(), ({ scope, namespace }) =>
    scope.type === 'mesh' || namespace === rootNamespace ? '' : namespace,
  );
  const sorted = new Map<string, readonly AuthorizationPolicy[]>();
  const candidatesIn = (namespace: string): readonly AuthorizationPolicy[] => {
    const known = sorted.get(namespace);
    if (known !== undefined) return known;
    const candidates = ['', namespace].flatMap((name) => byNamespace.get(name) ?? []);
    candidates.sort((a, b) => (a.key < b.key ? -1 : 1));
    sorted.set(namespace, candidates);
    return candidates;
  };
  return (workload) =>
    candidatesIn(workload.namespace).filter((policy) => appliesTo(policy, workload, rootNamespace));
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
