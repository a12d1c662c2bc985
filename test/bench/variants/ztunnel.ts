/**
 * Istio's ztunnel, where its path is given: one in dedicated mode in each pod, with certificates from the lab's own
 * certificate authority. The client's connections are redirected to it by nftables; its own carry a mark. A yardstick
 * only.
 */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { makeJoinToken } from '../../../src/controller/join-tokens.ts';
import { caAddress } from '../../../src/lab/plan/mesh-commands.ts';
import { type LabPod, layout } from '../lab.ts';
import { bulkPort, echoPorts } from '../manifest.ts';
import { daemon, output } from '../process.ts';
import { waitUntilListening } from './listening.ts';
import type { Variant, VariantContext } from './variant.ts';

const outboundPort = 15001;
const hbonePort = 15008;
const ownMark = 1337;

const redirect = `table ip bench {
  chain output {
    type nat hook output priority -100;
    meta mark != ${ownMark} tcp dport { ${bulkPort}, ${echoPorts.first}-${echoPorts.first + echoPorts.count - 1} } redirect to :${outboundPort}
  }
}`;

export const ztunnel =
  (binary: string) =>
  async ({ client, server, directory, signal }: VariantContext): Promise<Variant> => {
    await using cleanup = new AsyncDisposableStack();
    const pods = [server, client];
    writeFileSync(join(directory, 'workloads.yaml'), workloads(pods));
    copyFileSync(layout.caRoot, join(directory, 'root.pem'));
    const pids = pods.map((pod) => cleanup.use(start(binary, pod, directory)).pid);
    for (const pod of pods) await waitUntilListening(pod, hbonePort, signal);
    writeFileSync(join(directory, 'redirect.nft'), redirect);
    await output(client.command(['nft', '-f', join(directory, 'redirect.nft')]), 5000, signal);
    const owned = cleanup.move();
    return {
      id: 'ztunnel',
      client,
      host: server.ip,
      proxies: () => pids,
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  };

function start(binary: string, pod: LabPod, directory: string): ReturnType<typeof daemon> {
  const token = join(directory, `${pod.name}.token`);
  const caller = { type: 'workload', namespace: pod.namespace, serviceAccount: pod.name } as const;
  writeFileSync(token, makeJoinToken(layout.tokens, caller), { mode: 0o600 });
  return daemon(pod.command([binary]), join(directory, `${pod.name}.log`), {
    PROXY_MODE: 'dedicated',
    PROXY_WORKLOAD_INFO: `${pod.namespace}/${pod.name}/${pod.name}`,
    XDS_ADDRESS: '',
    LOCAL_XDS_PATH: join(directory, 'workloads.yaml'),
    CA_ADDRESS: `https://${caAddress}`,
    CA_ROOT_CA: join(directory, 'root.pem'),
    AUTH_TOKEN: token,
    ENABLE_ORIG_SRC: 'false',
    LOCALHOST_APP_TUNNEL: 'false',
    PACKET_MARK: String(ownMark),
    NODE_NAME: pod.name,
    CLUSTER_ID: 'Kubernetes',
    RUST_LOG: 'error',
  });
}

const workloads = (pods: readonly LabPod[]): string =>
  stringify({
    workloads: pods.map(({ namespace, name, ip }) => ({
      uid: `Kubernetes//Pod/${namespace}/${name}`,
      name,
      namespace,
      serviceAccount: name,
      workloadIps: [ip],
      protocol: 'HBONE',
      trustDomain: 'cluster.local',
      node: name,
      network: '',
      services: {},
    })),
    policies: [],
    services: [],
  });
