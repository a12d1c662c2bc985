/** All Services and their slices → services, change by change. A Service is made anew when it or a slice changes. */
import { type MeshConfig, type Service, type ServiceKey, serviceKey } from '../../model/mesh.ts';
import type { EndpointSlice, ObjectKey, Service as KubeService, SourcedObject } from '../objects.ts';
import { objectKey, serviceNameLabel } from '../objects.ts';
import type { Problem } from '../problem.ts';
import { guarded } from './guarded.ts';
import { translateService, type TranslatedService } from './service.ts';

type Slices = Map<ObjectKey, SourcedObject<EndpointSlice>>;

export class Services {
  readonly #config: MeshConfig;
  readonly #services = new Map<ServiceKey, SourcedObject<KubeService>>();
  /** Slices by the Service they name, known or not. */
  readonly #slices = new Map<ServiceKey, Slices>();
  readonly #serviceOfSlice = new Map<ObjectKey, ServiceKey>();
  readonly #faults = new Map<ServiceKey, readonly Problem[]>();
  readonly #dirty = new Set<ServiceKey>();

  constructor(config: MeshConfig) {
    this.#config = config;
  }

  get problems(): readonly Problem[] {
    return [...this.#faults.values()].flat();
  }

  setService(service: SourcedObject<KubeService>): void {
    const { namespace, name } = service.object.metadata;
    const key = serviceKey(namespace, name);
    this.#services.set(key, service);
    this.#dirty.add(key);
  }

  deleteService(namespace: string, name: string): void {
    const key = serviceKey(namespace, name);
    this.#services.delete(key);
    this.#dirty.add(key);
  }

  setSlice(slice: SourcedObject<EndpointSlice>): void {
    const key = objectKey(slice.object);
    const { namespace, labels } = slice.object.metadata;
    const service = serviceKey(namespace, labels?.[serviceNameLabel] ?? '');
    if (this.#serviceOfSlice.get(key) !== service) this.deleteSlice(key);
    this.#serviceOfSlice.set(key, service);
    const siblings = this.#slices.get(service);
    if (siblings === undefined) this.#slices.set(service, new Map([[key, slice]]));
    else siblings.set(key, slice);
    this.#dirty.add(service);
  }

  deleteSlice(key: ObjectKey): void {
    const service = this.#serviceOfSlice.get(key);
    if (service === undefined) return;
    this.#serviceOfSlice.delete(key);
    const siblings = this.#slices.get(service);
    siblings?.delete(key);
    if (siblings?.size === 0) this.#slices.delete(service);
    this.#dirty.add(service);
  }

  /** What changed since the last call. */
  takeChanges(): ReadonlyMap<ServiceKey, Service | undefined> {
    const changes = new Map<ServiceKey, Service | undefined>();
    for (const key of this.#dirty) {
      const { service, problems } = this.#translate(key);
      if (problems.length === 0) this.#faults.delete(key);
      else this.#faults.set(key, problems);
      changes.set(key, service);
    }
    this.#dirty.clear();
    return changes;
  }

  #translate(key: ServiceKey): TranslatedService {
    const service = this.#services.get(key);
    if (service === undefined) return { service: undefined, problems: [] };
    return guarded<TranslatedService>(
      service,
      () => translateService(service, [...(this.#slices.get(key)?.values() ?? [])], this.#config),
      (bug) => ({ service: undefined, problems: [bug] }),
    );
  }
}
