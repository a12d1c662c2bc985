/**
 * Whether a workload takes plaintext on a port. As in Istio the narrowest policy that says something decides: the
 * workload's for this port, the workload's, its namespace's, the mesh's; else both are taken. Of several policies for
 * one scope the oldest counts; one with a selector in the root namespace selects nobody.
 */
import type { Port } from '../base/ip.ts';
import type { Workload } from '../model/mesh.ts';
import type { MtlsMode, PeerAuthentication, PolicyKey } from '../model/policy.ts';
import type { MeshView } from '../model/view.ts';
import { applicableLookup } from './applicable.ts';

/** The policies that decide about one workload, where there are any. */
export interface PeerAuthentications {
  readonly mesh: PeerAuthentication | undefined;
  readonly namespace: PeerAuthentication | undefined;
  readonly workload: PeerAuthentication | undefined;
}

export interface EffectiveMode {
  readonly mode: MtlsMode;
  /** undefined: no policy says anything. */
  readonly policy: PolicyKey | undefined;
}

export function effectiveMode({ mesh, namespace, workload }: PeerAuthentications, port: Port): EffectiveMode {
  const ofPort = workload?.ports.get(port);
  if (workload !== undefined && ofPort !== undefined) return { mode: ofPort, policy: workload.key };
  for (const policy of [workload, namespace, mesh]) {
    if (policy?.mode !== undefined) return { mode: policy.mode, policy: policy.key };
  }
  return { mode: 'permissive', policy: undefined };
}

export type PeerAuthenticationLookup = (workload: Workload) => PeerAuthentications;

export function peerAuthenticationLookup(view: MeshView): PeerAuthenticationLookup {
  const { rootNamespace } = view.config;
  const counting = [...view.peerAuthentications.values()].filter(
    ({ namespace, scope }) => scope.type !== 'selector' || namespace !== rootNamespace,
  );
  const lookup = applicableLookup(counting, view);
  return (workload) => {
    const { mesh, namespace, selected } = lookup(workload);
    return { mesh: oldest(mesh), namespace: oldest(namespace), workload: oldest(selected) };
  };
}

const oldest = (policies: readonly PeerAuthentication[]): PeerAuthentication | undefined =>
  policies.reduce<PeerAuthentication | undefined>(
    (best, policy) => (best === undefined || isOlder(policy, best) ? policy : best),
    undefined,
  );

/** RFC 3339 in UTC sorts as text; what has no time counts as oldest. They come by name, so a tie is the first's. */
const isOlder = (a: PeerAuthentication, b: PeerAuthentication): boolean => a.createdAt < b.createdAt;
