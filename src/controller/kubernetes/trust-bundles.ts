/**
 * Keeps the authority's roots as a ConfigMap in each enrolled namespace and in the mesh's own, where node programs
 * mount it. The leader calls it often; when nothing changed it costs two lists.
 */
import { MeshError } from '../../base/errors.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { applyObject, deleteObject, listObjects } from '../../kube/client/kube-objects.ts';
import { resources } from '../../kube/client/resources.ts';
import { dataplaneModeLabel } from '../../kube/translate/workload.ts';
import { type BundlePlan, bundlePlan, type ConfigMap, type Namespace } from './bundle-plan.ts';
import { controllerName, trustBundleMap } from './names.ts';

export class TrustBundles {
  readonly #client: KubeClient;
  readonly #ownNamespace: string;

  constructor(client: KubeClient, ownNamespace: string) {
    this.#client = client;
    this.#ownNamespace = ownNamespace;
  }

  /** One namespace that refuses does not keep the others from it. @throws MeshError the first refusal */
  async publish(bundle: string): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (step: Promise<unknown>): Promise<void> => {
      await step.catch((thrown: unknown) => failures.push(thrown));
    };
    const plan = await this.#plan(bundle);
    for (const map of plan.write) {
      await attempt(applyObject(this.#client, resources.configMaps, map, { manager: controllerName }));
    }
    for (const namespace of plan.remove) {
      await attempt(deleteObject(this.#client, resources.configMaps, { namespace, name: trustBundleMap }));
    }
    if (plan.taken.length > 0) failures.push(nameTaken(plan));
    if (failures.length > 0) throw failures[0];
  }

  /** Whether there ever was an authority: its bundle is published right after it is made. */
  async exists(): Promise<boolean> {
    return (await this.#maps(this.#ownNamespace)).length > 0;
  }

  async #plan(bundle: string): Promise<BundlePlan> {
    const labelSelector = `${dataplaneModeLabel}=ambient`;
    const enrolled = await listObjects<Namespace>(this.#client, resources.namespaces, { labelSelector });
    const own = { metadata: { name: this.#ownNamespace } };
    const others = enrolled.filter(({ metadata }) => metadata.name !== this.#ownNamespace);
    return bundlePlan({ namespaces: [own, ...others], maps: await this.#maps(), bundle });
  }

  /** By name, because RBAC can then be limited to that name. */
  #maps(namespace?: string): Promise<readonly ConfigMap[]> {
    return listObjects<ConfigMap>(this.#client, resources.configMaps, {
      ...(namespace === undefined ? {} : { namespace }),
      fieldSelector: `metadata.name=${trustBundleMap}`,
    });
  }
}

const nameTaken = ({ taken }: BundlePlan): MeshError =>
  new MeshError(
    'ALREADY_EXISTS',
    `ConfigMaps named ${trustBundleMap} in ${taken.join(', ')} are somebody else’s`,
    {
      hint: 'delete or rename them; the mesh’s trust bundle belongs there',
    },
  );
