/** Reading and writing single objects through a `KubeClient`, with the API server's own guards against lost changes. */
import { MeshError } from '../../base/errors.ts';
import type { KubeClient } from './kube-client.ts';
import { pathOf, type Resource } from './resources.ts';

/** Any object, as far as everybody knows it. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

export interface ObjectPlace {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface Selection {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** At most so many, for "is there any". Absent: all, in pages. */
  readonly limit?: number;
}

/** Objects a page: some hundred KiB. */
const pageSize = 500;

/** Undefined when it does not exist. @throws MeshError */
export async function readObject<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  place: ObjectPlace,
): Promise<T | undefined> {
  return await ifPresent(
    async () => (await client.request({ method: 'GET', path: pathOf(resource, place) })) as T,
  );
}

/** @throws MeshError ALREADY_EXISTS */
export const createObject = async <T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  object: T,
): Promise<T> =>
  (await client.request({
    method: 'POST',
    path: pathOf(resource, { namespace: object.metadata.namespace }),
    body: whole(resource, object),
  })) as T;

/** Replaces the object of that resource version. @throws MeshError CONFLICT when it is no longer that version */
export const replaceObject = async <T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  object: T,
): Promise<T> =>
  (await client.request({
    method: 'PUT',
    path: pathOf(resource, object.metadata),
    body: whole(resource, object),
  })) as T;

/** Server-side apply: the fields given become `manager`'s, whoever had them before; others stay. */
export const applyObject = async (
  client: KubeClient,
  resource: Resource,
  object: KubeObject,
  options: { readonly manager: string; readonly dryRun?: boolean },
): Promise<KubeObject> =>
  (await client.request({
    method: 'PATCH',
    path: pathOf(resource, object.metadata),
    query: {
      fieldManager: options.manager,
      force: 'true',
      dryRun: options.dryRun === true ? 'All' : undefined,
    },
    body: whole(resource, object),
    contentType: 'application/apply-patch+yaml',
  })) as KubeObject;

/** Changes the fields given (RFC 7396); null removes one. Through `status`, that and metadata are all that changes. */
export const mergeObject = async (
  client: KubeClient,
  resource: Resource,
  place: ObjectPlace,
  patch: unknown,
  subresource?: 'status',
): Promise<KubeObject> =>
  (await client.request({
    method: 'PATCH',
    path: pathOf(resource, place) + (subresource === undefined ? '' : `/${subresource}`),
    body: patch,
    contentType: 'application/merge-patch+json',
  })) as KubeObject;

/** False when there was none. The object may go on for as long as its finalizers and its children take. */
export async function deleteObject(
  client: KubeClient,
  resource: Resource,
  place: ObjectPlace,
): Promise<boolean> {
  const body = { propagationPolicy: 'Foreground' };
  const deleted = await ifPresent(
    async () => await client.request({ method: 'DELETE', path: pathOf(resource, place), body }),
  );
  return deleted !== undefined;
}

/** @throws MeshError */
export async function listObjects<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  { namespace, labelSelector, fieldSelector, limit }: Selection = {},
): Promise<readonly T[]> {
  const items: T[] = [];
  let next: string | undefined;
  do {
    const query = { labelSelector, fieldSelector, limit: String(limit ?? pageSize), continue: next };
    const page = await client.request({ method: 'GET', path: pathOf(resource, { namespace }), query });
    const list = page as {
      readonly items?: readonly T[];
      readonly metadata?: { readonly continue?: string };
    };
    items.push(...(list.items ?? []));
    next = list.metadata?.continue;
  } while (next !== undefined && next !== '' && items.length < (limit ?? Number.POSITIVE_INFINITY));
  return items;
}

const whole = ({ apiVersion, kind }: Resource, object: KubeObject): KubeObject => ({
  ...object,
  apiVersion,
  kind,
});

async function ifPresent<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (thrown) {
    if (thrown instanceof MeshError && thrown.code === 'NOT_FOUND') return undefined;
    throw thrown;
  }
}
