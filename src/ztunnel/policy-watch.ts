/**
 * Keeps live connections within the policies: an allowed connection is judged again when something changes that its
 * verdict depends on, and ended when it would no longer be let in. Stands between the accountant and the ledger because
 * it must see every connection open and close.
 */
import type { ConnectionId, ConnectionRecord } from '../model/connection.ts';
import type { MeshDiff, MeshReader, MeshView } from '../model/view.ts';
import { servicesNamed } from '../policy/applicable.ts';
import type { Ledger, LiveConnection } from './account.ts';
import { type Authorizer, verdictOn } from './authorize.ts';

export interface PolicyWatchDeps {
  readonly ledger: Ledger;
  readonly mesh: MeshReader;
  readonly authorizer: Authorizer;
}

export class PolicyWatch implements Ledger {
  readonly #deps: PolicyWatchDeps;
  readonly #live = new Map<ConnectionId, LiveConnection>();
  readonly #unsubscribe: () => void;

  constructor(deps: PolicyWatchDeps) {
    this.#deps = deps;
    this.#unsubscribe = deps.mesh.subscribe((view, diff) => {
      const concerns = concernedBy(view, diff);
      if (concerns === undefined) return;
      for (const connection of this.#live.values()) if (concerns(connection)) this.#judge(connection, view);
    });
  }

  opened(connection: LiveConnection): void {
    this.#deps.ledger.opened(connection);
    if (connection.facts.direction === 'outbound') return;
    this.#live.set(connection.id, connection);
    // Decided on an older version while a policy changed: this is the moment to notice.
    const { view } = this.#deps.mesh;
    if (view.version !== connection.meshVersion) this.#judge(connection, view);
  }

  completed(record: ConnectionRecord): void {
    this.#live.delete(record.id);
    this.#deps.ledger.completed(record);
  }

  stop(): void {
    this.#unsubscribe();
  }

  #judge(connection: LiveConnection, view: MeshView): void {
    const verdict = verdictOn(connection.facts, this.#deps.authorizer, view);
    if (verdict !== undefined && !verdict.allowed) connection.revoke(verdict);
  }
}

/** Whose verdict may have changed; undefined: nobody's. Most changes are of pods and Services, and of no policy. */
function concernedBy(
  view: MeshView,
  { policies, peerAuthentications, access, services, workloads }: MeshDiff,
): ((connection: LiveConnection) => boolean) | undefined {
  if (policies.length + peerAuthentications.length + access.length > 0) return () => true;
  const changed = new Set(services.map(({ key }) => key));
  const isNamed = (): boolean =>
    [...view.policies.values()].some((policy) => servicesNamed(policy).some((key) => changed.has(key)));
  if (changed.size > 0 && isNamed()) return () => true;
  // A pod's labels decide which selectors choose it.
  const uids = new Set(workloads.map(({ key }) => key));
  if (uids.size === 0) return undefined;
  return ({ facts: { destination } }) =>
    destination.workload !== undefined && uids.has(destination.workload.uid);
}
