/** The authority as the `ca` commands reach it: in a directory of this machine, or through a cluster's API server. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { MeshError } from '../base/errors.ts';
import { type AuthorityStatus, CertificateAuthority } from '../controller/ca/authority.ts';
import { AuthorityDirectory } from '../controller/ca/authority-directory.ts';
import { rotationStage } from '../controller/ca/rotation-stage.ts';
import type { RotationStage } from '../controller/ca/rotation-stage.ts';
import {
  type AuthorityReport,
  readDesk,
  reportIn,
  type RotationRequest,
} from '../controller/kubernetes/authority-desk.ts';
import { rotateAnnotation, statusMap } from '../controller/kubernetes/names.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { mergeObject } from '../kube/client/kube-objects.ts';
import { resources } from '../kube/client/resources.ts';
import { parseTrustDomain } from '../model/identity.ts';

export interface AuthorityView extends AuthorityStatus {
  readonly rotation: RotationStage;
}

export interface AuthorityAccess {
  status(): Promise<AuthorityView>;
  /** Returns when it is done. `overlapMs`: see `rotateRoot`. @throws MeshError */
  rotate(what: RotationRequest['what'], overlapMs?: number): Promise<void>;
}

/** @throws MeshError CA_STATE */
export function authorityInDirectory(directory: string, domain: string, clock: Clock): AuthorityAccess {
  const trustDomain = parseTrustDomain(domain);
  const store = new AuthorityDirectory(directory, trustDomain);
  const authority = CertificateAuthority.openExisting({ store, trustDomain }, clock);
  return {
    status: async () => {
      const status = authority.status();
      return { ...status, rotation: rotationStage(status) };
    },
    rotate: async (what, overlapMs) => {
      if (what === 'intermediate') await authority.rotateIntermediate();
      else await authority.rotateRoot(overlapMs === undefined ? {} : { overlapMs });
    },
  };
}

export interface ClusterAuthorityOptions {
  readonly namespace: string;
  /** How long the leading controller may take. */
  readonly timeoutMs: number;
  readonly pollMs?: number;
}

/** The keys never leave the cluster: the leading controller rotates, and says so. */
export function authorityInCluster(
  client: KubeClient,
  { namespace, timeoutMs, pollMs = 500 }: ClusterAuthorityOptions,
): AuthorityAccess {
  const report = async (): Promise<AuthorityReport> => {
    const found = reportIn(await readDesk(client, namespace));
    if (found !== undefined) return found;
    throw new MeshError('NOT_FOUND', `no controller has reported in ConfigMap ${namespace}/${statusMap}`, {
      hint: `is the mesh installed in ${namespace}? kubectl -n ${namespace} get pods`,
    });
  };
  return {
    status: report,
    rotate: async (what, overlapMs) => {
      await report();
      const request: RotationRequest = {
        id: randomUUID(),
        what,
        ...(overlapMs === undefined ? {} : { overlapMs }),
      };
      const patch = { metadata: { annotations: { [rotateAnnotation]: JSON.stringify(request) } } };
      await mergeObject(client, resources.configMaps, { namespace, name: statusMap }, patch);
      await answered(report, request.id, { timeoutMs, pollMs });
    },
  };
}

async function answered(
  report: () => Promise<AuthorityReport>,
  id: string,
  { timeoutMs, pollMs }: { readonly timeoutMs: number; readonly pollMs: number },
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    const { lastRequest } = await report();
    if (lastRequest?.id === id && lastRequest.ok) return;
    if (lastRequest?.id === id)
      throw new MeshError('CA_REFUSED', `the controller refused: ${lastRequest.result}`);
    await sleep(pollMs);
  }
  throw new MeshError('TIMEOUT', `no controller took the request up within ${timeoutMs} ms`, {
    hint: 'it is still there and will be done; look at the controllers’ logs, and at: mesh-ebpf ca status --cluster',
  });
}
