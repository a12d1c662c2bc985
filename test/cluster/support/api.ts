/** A cluster as tests use it: objects are applied as YAML and read by kind; whoever waits says for what. */
import {
  AppsV1Api,
  ApiException,
  CoreV1Api,
  Health,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  type V1Pod,
} from '@kubernetes/client-node';
import { parseAllDocuments } from 'yaml';
import { asMeshError, MeshError } from '../../../src/base/errors.ts';
import { eventually } from './eventually.ts';

/** Owner of what is applied, as the API server sees it. */
const fieldManager = 'mesh-ebpf-cluster';

/** An answer that takes longer is none. */
const readyTimeoutMs = 10_000;

export class ClusterApi {
  readonly kubeconfig: KubeConfig;
  readonly core: CoreV1Api;
  readonly apps: AppsV1Api;
  readonly #objects: KubernetesObjectApi;

  constructor(kubeconfig: KubeConfig) {
    this.kubeconfig = kubeconfig;
    this.core = kubeconfig.makeApiClient(CoreV1Api);
    this.apps = kubeconfig.makeApiClient(AppsV1Api);
    this.#objects = KubernetesObjectApi.makeApiClient(kubeconfig);
  }

  static fromFile(path: string): ClusterApi {
    const kubeconfig = new KubeConfig();
    kubeconfig.loadFromFile(path);
    return new ClusterApi(kubeconfig);
  }

  /** Whether the API server says it is ready. */
  async isReady(): Promise<boolean> {
    return new Health(this.kubeconfig)
      .readyz({ signal: AbortSignal.timeout(readyTimeoutMs) })
      .catch(() => false);
  }

  /** Applies every document on the server, in order. @throws MeshError INVALID_MANIFEST with the server's reason */
  async apply(yaml: string): Promise<readonly KubernetesObject[]> {
    const applied: KubernetesObject[] = [];
    for (const object of parseYaml(yaml)) applied.push(await this.#applyOne(object));
    return applied;
  }

  async #applyOne(object: KubernetesObject): Promise<KubernetesObject> {
    try {
      return await this.#objects.patch(
        object,
        undefined,
        undefined,
        fieldManager,
        true,
        'application/apply-patch+yaml',
      );
    } catch (error) {
      const { kind = 'object', metadata } = object;
      throw new MeshError('INVALID_MANIFEST', `${kind} ${metadata?.name ?? ''}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Deletes every document's object, last first; one that is not there is fine. */
  async delete(yaml: string): Promise<void> {
    for (const object of parseYaml(yaml).toReversed()) {
      await this.#objects.delete(object).catch(ignoreMissing);
    }
  }

  /** Deletes a namespace and waits until everything in it is gone. */
  async deleteNamespace(name: string, timeoutMs = 120_000): Promise<void> {
    await this.core.deleteNamespace({ name }).catch(ignoreMissing);
    const phase = async (): Promise<string> =>
      this.core.readNamespace({ name }).then(
        ({ status }) => status?.phase ?? 'unknown',
        (error: unknown) => (isMissing(error) ? 'gone' : reasonOf(error)),
      );
    await eventually(`namespace ${name} is gone`, phase, (seen) => seen === 'gone', timeoutMs);
  }

  /** Names of the nodes that are ready. */
  async readyNodes(): Promise<readonly string[]> {
    const { items } = await this.core.listNode();
    return items
      .filter(({ status }) =>
        status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
      )
      .map(({ metadata }) => metadata?.name ?? '')
      .toSorted();
  }

  async pods(namespace: string, labelSelector?: string): Promise<readonly V1Pod[]> {
    const selector = labelSelector === undefined ? {} : { labelSelector };
    return (await this.core.listNamespacedPod({ namespace, ...selector })).items;
  }

  /** Waits until `count` pods, and no others, are there and ready. */
  async whenPodsReady(
    namespace: string,
    labelSelector: string,
    count: number,
    timeoutMs = 120_000,
  ): Promise<readonly V1Pod[]> {
    const what = `${count} pods of ${namespace} with ${labelSelector} are ready`;
    let pods: readonly V1Pod[] = [];
    const look = async (): Promise<readonly string[]> => {
      pods = await this.pods(namespace, labelSelector);
      return pods.map(describePod);
    };
    await eventually(what, look, () => pods.length === count && pods.every(isReady), timeoutMs);
    return pods;
  }
}

export const isReady = (pod: V1Pod): boolean =>
  pod.metadata?.deletionTimestamp === undefined &&
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** A pod in a line, with the reason why it does not run. */
export function describePod(pod: V1Pod): string {
  const { name = '', deletionTimestamp } = pod.metadata ?? {};
  const waiting = (pod.status?.containerStatuses ?? []).flatMap(({ state }) => {
    const { reason, message } = state?.waiting ?? {};
    return reason === undefined ? [] : [`${reason} ${message ?? ''}`.trim()];
  });
  const state = isReady(pod) ? 'ready' : (pod.status?.phase ?? 'unknown');
  const ending = deletionTimestamp === undefined ? [] : ['being deleted'];
  return [`${name} on ${pod.spec?.nodeName ?? 'no node'}: ${state}`, ...waiting, ...ending].join(', ');
}

/** @throws MeshError INVALID_MANIFEST */
export function parseYaml(yaml: string): readonly KubernetesObject[] {
  const documents = [...parseAllDocuments(yaml)];
  const error = documents.flatMap(({ errors }) => errors)[0];
  if (error !== undefined) throw new MeshError('INVALID_MANIFEST', error.message);
  return documents
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object): object is KubernetesObject => object !== null);
}

const isMissing = (error: unknown): boolean => error instanceof ApiException && error.code === 404;

function ignoreMissing(error: unknown): void {
  if (!isMissing(error)) throw new MeshError('UNAVAILABLE', reasonOf(error), { cause: error });
}

/** What the API server says in the body of its answer. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof ApiException)) return asMeshError(error).message;
  const body: unknown = error.body;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return /"message":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? `HTTP ${error.code}: ${text}`;
}
