/**
 * Istio's ztunnel as the only proxy of a peer: dedicated mode, configuration from a file, certificate from our
 * authority. Connections the peer's applications make to port 8080 and 9090 are redirected to it.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Authority, OurMesh } from './our-mesh.ts';
import { type Process, sh, waitFor } from './processes.ts';
import type { Member } from './topology.ts';

/** A workload as ztunnel is to know it. */
export interface ZtunnelWorkload {
  readonly name: string;
  readonly serviceAccount: string;
  readonly ip: string;
  readonly trustDomain: string;
}

export interface ZtunnelOptions {
  readonly peer: Member;
  readonly self: ZtunnelWorkload;
  readonly others: readonly ZtunnelWorkload[];
  /** Service accounts of namespace shop that it refuses at port 9090. */
  readonly denied?: readonly string[];
  readonly authority: Authority;
  /** PEM with the roots it trusts for the authority's own certificate. */
  readonly authorityRoot?: string;
  readonly tokenFile: string;
}

/** `SO_MARK` of its own sockets. */
const ownMark = 1337;

const pathOf = (): string => {
  const path = process.env['ZTUNNEL'] ?? '';
  if (existsSync(path)) return path;
  throw new Error('these tests need ZTUNNEL=path of an Istio ztunnel binary: make interop ZTUNNEL=…');
};

export function startZtunnel({ topology }: OurMesh, options: ZtunnelOptions): Process {
  const { peer, self, authority } = options;
  const file = join(topology.directory, `workloads-${peer.name}.json`);
  writeFileSync(file, withTags(JSON.stringify(staticConfig(options))));
  redirect(peer);
  return topology.start(`ztunnel-${peer.name}`, peer, [pathOf()], {
    PROXY_MODE: 'dedicated',
    PROXY_WORKLOAD_INFO: `shop/${self.name}/${self.serviceAccount}`,
    TRUST_DOMAIN: self.trustDomain,
    XDS_ADDRESS: '',
    LOCAL_XDS_PATH: file,
    CA_ADDRESS: `https://${authority.address}`,
    CA_ROOT_CA: options.authorityRoot ?? authority.rootFile,
    AUTH_TOKEN: options.tokenFile,
    NODE_NAME: 'elsewhere',
    PACKET_MARK: String(ownMark),
    ENABLE_ORIG_SRC: 'false',
    LOCALHOST_APP_TUNNEL: 'false',
    IPV6_ENABLED: 'false',
    LOG_FORMAT: 'json',
    RUST_LOG: 'info,access=debug',
  });
}

/** It calls itself ready before it has read its configuration. */
export async function ready(ztunnel: Process): Promise<void> {
  await ztunnel.waitForOutput(/local config initialized/);
  await ztunnel.waitForOutput(/marking server ready/);
}

/** JSON is YAML, but for the tags by which it tells kinds of matches apart. */
const withTags = (json: string): string => json.replaceAll(/"!(\w+) ([^"]*)"/g, '!$1 "$2"');

/** Unknown fields are refused. */
const staticConfig = ({ self, others, denied = [] }: ZtunnelOptions): object => ({
  workloads: [self, ...others].map(({ name, serviceAccount, ip, trustDomain }) => ({
    uid: `cluster//Pod/shop/${name}`,
    name,
    namespace: 'shop',
    serviceAccount,
    trustDomain,
    workloadIps: [ip],
    protocol: 'HBONE',
    node: name === self.name ? 'elsewhere' : 'node-a',
    network: '',
    services: {},
  })),
  policies: denied.map((account) => ({
    name: `deny-${account}`,
    namespace: 'shop',
    scope: 'Namespace',
    action: 'Deny',
    dryRun: false,
    rules: [
      [
        [{ principals: [`!Exact ${self.trustDomain}/ns/shop/sa/${account}`] }],
        [{ destinationPorts: [9090] }],
      ],
    ],
  })),
  services: [],
});

function redirect({ netns }: Member): void {
  const rule = `meta mark & 0xfff != ${ownMark} tcp dport { 8080, 9090 } redirect to :15001`;
  sh(`nsenter --net=${netns} nft -f - <<'RULES'
table ip interop {
  chain output {
    type nat hook output priority -100;
    oifname != "lo" ${rule}
  }
}
RULES`);
}

/** Waits for access-log lines of completed or failed connections that match. */
export async function accessLog(
  ztunnel: Process,
  matches: (line: Readonly<Record<string, unknown>>) => boolean,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const found = () => ztunnel.lines().filter((line) => line['scope'] === 'access' && matches(line));
  await waitFor('a line in ztunnel’s access log', () => found().length > 0, 30_000);
  return found();
}
