/**
 * Changes of objects → changes of the mesh. Holds what it made of each object and by what it depends on others, so
 * that a change costs what it touches and not what there is.
 */
import type { MeshChange, MeshConfig } from '../../model/mesh.ts';
import type { PendingWorkload } from '../../model/pod-lookup.ts';
import {
  type AuthorizationPolicy,
  type PeerAuthentication,
  peerAuthenticationKey,
  policyKey,
} from '../../model/policy.ts';
import {
  type AuthorizationPolicyObject,
  isOfKind,
  parseObjectKey,
  type ObjectKey,
  type PeerAuthenticationObject,
  type SourcedObject,
} from '../objects.ts';
import type { Problem } from '../problem.ts';
import type { ObjectChange } from '../source.ts';
import { Accesses } from './accesses.ts';
import { strictestPolicy, translatePolicy } from './authorization-policy.ts';
import { LastGood } from './last-good.ts';
import { Nodes } from './nodes.ts';
import { strictestPeerAuthentication, translatePeerAuthentication } from './peer-authentication.ts';
import { Services } from './services.ts';
import { Workloads } from './workloads.ts';

export class Translator {
  readonly #workloads: Workloads;
  readonly #services: Services;
  readonly #policies: LastGood<AuthorizationPolicyObject, AuthorizationPolicy>;
  readonly #peerAuthentications: LastGood<PeerAuthenticationObject, PeerAuthentication>;
  readonly #accesses = new Accesses();
  readonly #nodes = new Nodes();

  constructor(config: MeshConfig) {
    this.#workloads = new Workloads(config);
    this.#services = new Services(config);
    this.#policies = new LastGood({ translate: translatePolicy, strictest: strictestPolicy }, config);
    this.#peerAuthentications = new LastGood(
      { translate: translatePeerAuthentication, strictest: strictestPeerAuthentication },
      config,
    );
  }

  /** All that is wrong with the objects now. */
  get problems(): readonly Problem[] {
    return [this.#workloads, this.#services, this.#policies, this.#peerAuthentications, this.#accesses].flatMap(
      ({ problems }) => problems,
    );
  }

  apply({ set, deleted }: ObjectChange): MeshChange {
    for (const key of deleted) this.#delete(key);
    for (const sourced of set) this.#set(sourced);
    return {
      workloads: this.#workloads.takeChanges(),
      services: this.#services.takeChanges(),
      policies: this.#policies.takeChanges(),
      peerAuthentications: this.#peerAuthentications.takeChanges(),
      access: this.#accesses.takeChanges(),
      nodes: this.#nodes.takeChanges(),
    };
  }

  /** A pod by name, before it has an address. @throws MeshError INVALID_MANIFEST when it cannot be understood */
  pendingPod(namespace: string, name: string): PendingWorkload | undefined {
    return this.#workloads.pending(namespace, name);
  }

  /** Service accounts are no part of the model. */
  #set(sourced: SourcedObject): void {
    if (isOfKind(sourced, 'Pod')) this.#workloads.setPod(sourced);
    else if (isOfKind(sourced, 'EndpointSlice')) this.#services.setSlice(sourced);
    else if (isOfKind(sourced, 'Service')) this.#services.setService(sourced);
    else if (isOfKind(sourced, 'Namespace')) this.#workloads.setNamespace(sourced);
    else if (isOfKind(sourced, 'AuthorizationPolicy')) this.#policies.set(sourced);
    else if (isOfKind(sourced, 'PeerAuthentication')) this.#peerAuthentications.set(sourced);
    else if (isOfKind(sourced, 'NamespaceAccess')) this.#accesses.set(sourced);
    else if (isOfKind(sourced, 'Node')) this.#nodes.set(sourced);
  }

  #delete(key: ObjectKey): void {
    const { kind, namespace, name } = parseObjectKey(key);
    switch (kind) {
      case 'Pod':
        return this.#workloads.deletePod(key);
      case 'EndpointSlice':
        return this.#services.deleteSlice(key);
      case 'Service':
        return this.#services.deleteService(namespace, name);
      case 'Namespace':
        return this.#workloads.deleteNamespace(name);
      case 'AuthorizationPolicy':
        return this.#policies.delete(policyKey(namespace, name));
      case 'PeerAuthentication':
        return this.#peerAuthentications.delete(peerAuthenticationKey(namespace, name));
      case 'NamespaceAccess':
        return this.#accesses.delete(namespace, name);
      case 'Node':
        return this.#nodes.delete(name);
      case 'ServiceAccount':
    }
  }
}
