/**
 * The certificate authority of the cluster under test, asked with any token for any identity: by the project's own
 * client, through a port that the API server forwards to a controller.
 */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PortForward, type V1Pod } from '@kubernetes/client-node';
import { caPort } from '../../../src/base/ports.ts';
import {
  controllerName,
  meshNamespace,
  nodeAgentName,
  tokenAudience,
  trustBundleEntry,
  trustBundleMap,
} from '../../../src/controller/kubernetes/names.ts';
import { createCsr } from '../../../src/identity/csr.ts';
import { GrpcCaClient } from '../../../src/identity/grpc-ca-client.ts';
import { generateKeyPair } from '../../../src/identity/key-pair.ts';
import { parseSpiffeId, type SpiffeId } from '../../../src/model/identity.ts';
import type { ClusterApi } from './api.ts';

export const identityOf = (namespace: string, serviceAccount: string): SpiffeId =>
  parseSpiffeId(`spiffe://cluster.local/ns/${namespace}/sa/${serviceAccount}`);

export class Authority {
  readonly #address: string;
  readonly #directory: string;
  readonly #close: () => void;

  private constructor(address: string, directory: string, close: () => void) {
    this.#address = address;
    this.#directory = directory;
    this.#close = close;
  }

  static async open(api: ClusterApi): Promise<Authority> {
    const [controller] = await api.pods(meshNamespace, `app.kubernetes.io/name=${controllerName}`);
    const name = controller?.metadata?.name ?? '';
    const forward = new PortForward(api.kubeconfig);
    const server = createServer((socket) => {
      socket.on('error', () => {});
      forward.portForward(meshNamespace, name, [caPort], socket, null, socket).catch(() => socket.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const directory = await mkdtemp(join(tmpdir(), 'mesh-ebpf-authority-'));
    const bundle = await api.core.readNamespacedConfigMap({ namespace: meshNamespace, name: trustBundleMap });
    await writeFile(join(directory, 'roots.pem'), bundle.data?.[trustBundleEntry] ?? '');
    const { port } = server.address() as AddressInfo;
    return new Authority(`127.0.0.1:${port}`, directory, () => server.close());
  }

  /** The chain. @throws MeshError as a node program gets it */
  async sign(token: string, identity: SpiffeId): Promise<readonly string[]> {
    const tokenFile = join(this.#directory, 'token');
    await writeFile(tokenFile, token, { mode: 0o600 });
    const client = new GrpcCaClient({
      address: this.#address,
      rootsFile: join(this.#directory, 'roots.pem'),
      tokenFile,
      serverName: `${controllerName}.${meshNamespace}.svc`,
    });
    try {
      const csr = await createCsr(identity, await generateKeyPair());
      return await client.sign(
        { identity, csr, validitySeconds: 3600 },
        { signal: AbortSignal.timeout(30_000) },
      );
    } finally {
      client.close();
    }
  }

  async close(): Promise<void> {
    this.#close();
    await rm(this.#directory, { recursive: true });
  }
}

export interface TokenWish {
  /** Bound to this pod; to none when undefined. */
  readonly pod: Pick<V1Pod, 'metadata'> | undefined;
  readonly audience?: string;
  /** In the mesh's namespace, unless the pod is in another. */
  readonly serviceAccount?: string;
}

/** As the kubelet asks for it when it projects a token into a pod. */
export async function tokenFor(
  api: ClusterApi,
  { pod, audience = tokenAudience, serviceAccount = nodeAgentName }: TokenWish,
): Promise<string> {
  const { name = '', namespace = meshNamespace, uid = '' } = pod?.metadata ?? {};
  const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name, uid };
  const { status } = await api.core.createNamespacedServiceAccountToken({
    name: serviceAccount,
    namespace,
    body: {
      spec: {
        audiences: [audience],
        expirationSeconds: 600,
        ...(pod === undefined ? {} : { boundObjectRef }),
      },
    },
  });
  return status?.token ?? '';
}
