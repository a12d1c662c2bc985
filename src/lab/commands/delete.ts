/** `lab delete`: pods end gracefully before their objects go; a namespace takes everything in it along. */
import { MeshError } from '../../base/errors.ts';
import type { KubeObject, Pod } from '../../kube/objects.ts';
import { objectKey } from '../../kube/objects.ts';
import { requireLab } from '../lab-file.ts';
import { deletion, selectObjects } from '../plan/deletion.ts';
import type { ObjectName } from '../plan/deletion.ts';
import { ObjectStore } from '../system/object-store.ts';
import { readManifests } from './apply.ts';
import type { LabContext } from './context.ts';
import { waitFor } from './wait.ts';

export interface DeleteOptions {
  readonly names: readonly ObjectName[];
  readonly files: readonly string[];
  /** Overrides what the pods ask for. */
  readonly graceSeconds: number | undefined;
  /** Wait until nothing is left of the pods. */
  readonly wait: boolean;
}

/** How much longer than its grace period a pod may take to vanish. */
const slackMs = 20_000;

/** Returns what was there to be deleted. @throws MeshError NOT_FOUND for a name that does not exist. */
export async function labDelete(context: LabContext, options: DeleteOptions): Promise<readonly KubeObject[]> {
  await requireLab(context.layout);
  const manifests = await readManifests(options.files);
  const store = new ObjectStore(context.layout);
  let doomed: readonly KubeObject[] = [];
  await store.update((objects) => {
    doomed = selectObjects(objects, options.names, manifests);
    return deletion(doomed, { now: context.clock.now(), graceSeconds: options.graceSeconds });
  });
  const pods = doomed.filter((object) => object.kind === 'Pod');
  const namespaces = doomed.filter(({ kind }) => kind === 'Namespace');
  // A namespace outlives its pods.
  if (options.wait || namespaces.length > 0) await waitUntilGone(context, store, pods);
  await store.update(() => ({ write: [], remove: doomed.filter(({ kind }) => kind !== 'Pod') }));
  return doomed;
}

async function waitUntilGone(context: LabContext, store: ObjectStore, pods: readonly Pod[]): Promise<void> {
  const objects = store.read();
  const deadlines = pods.map((pod) => {
    const now = objects.get(objectKey(pod));
    return now?.metadata.deletionTimestamp === undefined ? 0 : Date.parse(now.metadata.deletionTimestamp);
  });
  const longestMs = Math.max(0, ...deadlines.map((deadline) => deadline - context.clock.now()));
  await waitFor(context, {
    timeoutMs: longestMs + slackMs,
    missing: () => Promise.resolve(stillThere(store, pods)),
  });
}

function stillThere(store: ObjectStore, pods: readonly Pod[]): string | undefined {
  const objects = store.read();
  const left = pods.filter((pod) => objects.get(objectKey(pod))?.metadata.uid === pod.metadata.uid);
  const [first] = left;
  if (first === undefined) return undefined;
  return `${left.length} of ${pods.length} pods still end, such as ${first.metadata.namespace}/${first.metadata.name}`;
}

const kindNames: Readonly<Record<string, ObjectName['kind']>> = {
  pod: 'Pod',
  pods: 'Pod',
  po: 'Pod',
  service: 'Service',
  services: 'Service',
  svc: 'Service',
  namespace: 'Namespace',
  namespaces: 'Namespace',
  ns: 'Namespace',
  serviceaccount: 'ServiceAccount',
  serviceaccounts: 'ServiceAccount',
  sa: 'ServiceAccount',
  authorizationpolicy: 'AuthorizationPolicy',
  authorizationpolicies: 'AuthorizationPolicy',
  peerauthentication: 'PeerAuthentication',
  peerauthentications: 'PeerAuthentication',
  namespaceaccess: 'NamespaceAccess',
  namespaceaccesses: 'NamespaceAccess',
  endpointslice: 'EndpointSlice',
};

/** As kubectl takes them: `pod web db`, or `pod/web svc/web`. @throws MeshError INVALID_ARGUMENT */
export function parseObjectNames(words: readonly string[], namespace: string): readonly ObjectName[] {
  const [first = '', ...rest] = words;
  const pairs =
    first.includes('/') || words.length === 0
      ? words.map(splitName)
      : rest.map((name) => [first, name] as const);
  if (words.length > 0 && pairs.length === 0) {
    throw new MeshError('INVALID_ARGUMENT', `which ${first}?`, {
      hint: 'mesh-ebpf lab delete pod web -n shop',
    });
  }
  return pairs.map(([kind, name]) => ({ kind: kindNamed(kind), namespace, name }));
}

function splitName(word: string): readonly [string, string] {
  const [kind, name, ...more] = word.split('/');
  if (kind === undefined || name === undefined || name === '' || more.length > 0) {
    throw new MeshError('INVALID_ARGUMENT', `"${word}" is not of the form KIND/NAME`);
  }
  return [kind, name];
}

function kindNamed(text: string): ObjectName['kind'] {
  const kind = kindNames[text.toLowerCase()];
  if (kind !== undefined) return kind;
  throw new MeshError('INVALID_ARGUMENT', `the lab cannot delete a "${text}"`, {
    hint: 'it knows pod, service, namespace, serviceaccount, authorizationpolicy, namespaceaccess and endpointslice',
  });
}
