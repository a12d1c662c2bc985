/** What a pod's process finds around itself: environment, arguments, resolv.conf, hosts. Pure. */
import type { IpAddress } from '../../base/ip.ts';
import type { Container, Pod } from '../../kube/objects.ts';
import { clusterDomain, dnsAddresses } from '../topology.ts';

/** Three servers are all that resolvers read; the search list is the one Kubernetes gives (dnsPolicy ClusterFirst). */
export function resolvConf(namespace: string): string {
  const search = [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  const servers = dnsAddresses.map((ip) => `nameserver ${ip}\n`).join('');
  return `search ${search.join(' ')}\n${servers}options ndots:5\n`;
}

export function hostsFile(podName: string, ips: readonly IpAddress[]): string {
  const own = ips.map((ip) => `${ip}\t${podName}\n`).join('');
  return `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${own}`;
}

export type Environment = Readonly<Record<string, string>>;

/** The manifest's variables over a small fixed base: nothing of the host's environment reaches a pod. */
export function podEnvironment(pod: Pod, path: string): Environment {
  const env: Record<string, string> = { PATH: path, HOME: '/root', HOSTNAME: pod.metadata.name };
  for (const { name, value, valueFrom } of pod.spec.containers[0]?.env ?? []) {
    env[name] = value === undefined ? (fieldValue(pod, valueFrom) ?? '') : expand(value, env);
  }
  return env;
}

/** The downward API's fields that people use; `undefined` for others. */
function fieldValue(pod: Pod, valueFrom: unknown): string | undefined {
  const { fieldRef } = (valueFrom ?? {}) as { readonly fieldRef?: { readonly fieldPath?: unknown } };
  switch (fieldRef?.fieldPath) {
    case 'metadata.name':
      return pod.metadata.name;
    case 'metadata.namespace':
      return pod.metadata.namespace;
    case 'metadata.uid':
      return pod.metadata.uid;
    case 'spec.nodeName':
      return pod.spec.nodeName;
    case 'spec.serviceAccountName':
      return pod.spec.serviceAccountName;
    case 'status.podIP':
      return pod.status?.podIP;
    case 'status.podIPs':
      return pod.status?.podIPs?.map(({ ip }) => ip).join(',');
    case 'status.hostIP':
      return pod.status?.hostIP;
    default:
      return undefined;
  }
}

/** `$(NAME)` as Kubernetes expands it: unknown names stay as they are, `$$(NAME)` is `$(NAME)`. */
export const expand = (text: string, env: Environment): string =>
  text.replaceAll(/\$\$|\$\(([^()]+)\)/g, (match, name: string | undefined) =>
    name === undefined ? '$' : (env[name] ?? match),
  );

/** The command line of a container; undefined for one that only holds its place. */
export function containerArgv(
  container: Container,
  env: Environment,
): readonly [string, ...string[]] | undefined {
  const [command, ...rest] = [...(container.command ?? []), ...(container.args ?? [])].map((word) =>
    expand(word, env),
  );
  return command === undefined ? undefined : [command, ...rest];
}
