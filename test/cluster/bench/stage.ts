/** Where the scenarios are played: the same applications twice, in a namespace without and in one with the label. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1Pod } from '@kubernetes/client-node';
import { MeshError } from '../../../src/base/errors.ts';
import { step } from '../machine/progress.ts';
import { findNode } from '../machine/state.ts';
import { running } from '../commands/context.ts';
import { ClusterApi } from '../support/api.ts';
import { context } from '../support/cluster-under-test.ts';
import { installedMesh, type Mesh } from '../support/mesh.ts';
import type { PodRef } from '../support/pod-exec.ts';
import { serviceUrl, setMeshed } from '../support/rollout.ts';
import { serverManifest } from '../support/servers.ts';
import type { Side } from './row.ts';

export const minutes = 60_000;

export interface Place {
  readonly namespace: string;
  readonly meshed: boolean;
  /** Calls; on node 1. */
  readonly client: PodRef & { readonly containerId: string };
  /** URLs of Services with three servers each: on the client's node, and on the other. */
  readonly near: string;
  readonly far: string;
}

export interface Stage {
  readonly api: ClusterApi;
  readonly mesh: Mesh;
  readonly places: Readonly<Record<Side, Place>>;
  /** Addresses of the nodes, by their number. */
  readonly nodes: Readonly<Record<'1' | '2', string>>;
}

/** On a cluster that is up. */
export async function setStage(): Promise<Stage> {
  const { progress, layout } = context;
  const api = ClusterApi.fromFile(layout.adminKubeconfig);
  await api.apply(readFileSync(policyDefinitions, 'utf8'));
  const mesh = await step(progress, 'loading the image; mesh-ebpf install', installedMesh);
  const places = {
    none: await step(progress, 'pods outside the mesh', () => setPlace(api, 'bench-none', false)),
    mesh: await step(progress, 'pods in the mesh', () => setPlace(api, 'bench-mesh', true)),
  };
  const { state } = await running(context);
  return { api, mesh, places, nodes: { 1: findNode(state, '1').ip, 2: findNode(state, '2').ip } };
}

async function setPlace(api: ClusterApi, namespace: string, meshed: boolean): Promise<Place> {
  await api.apply(placeManifest(namespace));
  const [client] = await api.whenPodsReady(namespace, 'app=client', 1, 4 * minutes);
  for (const app of ['near', 'far']) {
    await api.whenPodsReady(namespace, `app=${app}`, serversEach, 4 * minutes);
  }
  if (meshed) await setMeshed(api, namespace, true);
  const [near, far] = [await serviceUrl(api, namespace, 'near'), await serviceUrl(api, namespace, 'far')];
  return { namespace, meshed, client: refOf(client), near, far };
}

function refOf(pod: V1Pod | undefined): Place['client'] {
  const { namespace = '', name = '' } = pod?.metadata ?? {};
  const containerId = pod?.status?.containerStatuses?.[0]?.containerID?.replace('containerd://', '');
  if (containerId !== undefined) return { namespace, name, containerId };
  throw new MeshError('UNAVAILABLE', `${namespace}/${name} has no container`);
}

const serversEach = 3;

const placeManifest = (namespace: string): string => `
apiVersion: v1
kind: Namespace
metadata: { name: ${namespace} }
---
${serverManifest(namespace, 'client', { replicas: 1, node: 'node-1' })}
---
${serverManifest(namespace, 'near', { replicas: serversEach, node: 'node-1' })}
---
${serverManifest(namespace, 'far', { replicas: serversEach, node: 'node-2' })}
`;

/** A cluster in which Istio has never been does not know the kind. */
const policyDefinitions = join(
  import.meta.dirname,
  '..',
  '..',
  '..',
  'daemonset',
  'crds',
  'security.istio.io.yaml',
);
