/** What a node itself knows and can do, asked on it: works without an API server. Of this machine's cluster only. */
import type { V1Pod } from '@kubernetes/client-node';
import { MeshError } from '../../../src/base/errors.ts';
import type { ServiceItem, StatusDocument, WorkloadItem } from '../../../src/telemetry/admin-api.ts';
import { network } from '../plan/layout.ts';
import { execByRuntime, onNode, program, workerOf } from './rollout.ts';

async function items<Item>(node: string, command: string): Promise<readonly Item[]> {
  const { stdout, stderr } = await onNode(node, `${program} ${command} -o json`);
  if (stdout === '') throw new MeshError('UNAVAILABLE', `node ${node}: ${command}: ${stderr.trim()}`);
  return (JSON.parse(stdout) as { readonly items: readonly Item[] }).items;
}

/** @throws MeshError UNAVAILABLE when no node program answers */
export async function statusOnNode(node: string): Promise<StatusDocument> {
  const [status] = await items<StatusDocument>(node, 'status');
  if (status === undefined) throw new MeshError('UNAVAILABLE', `no node program answers on node ${node}`);
  return status;
}

/** Names of the Services of a namespace that the node's proxy knows. */
export const servicesOnNode = async (node: string, namespace: string): Promise<readonly string[]> =>
  (await items<ServiceItem>(node, `services -n ${namespace}`)).map(({ name }) => name).toSorted();

export const workloadsOnNode = (node: string, namespace: string): Promise<readonly WorkloadItem[]> =>
  items<WorkloadItem>(node, `workloads -n ${namespace}`);

/** Calls from a pod with fortio, each on a connection of its own; how many were answered. */
export async function talk(client: V1Pod, url: string, calls = 20): Promise<number> {
  const container = client.status?.containerStatuses?.[0]?.containerID ?? '';
  const node = client.spec?.nodeName ?? '';
  const command = `/usr/bin/fortio load -quiet -json - -keepalive=false -c 1 -qps 0 -n ${calls} ${url}`;
  const { stdout } = await execByRuntime(node, container, command);
  return (JSON.parse(stdout) as { readonly RetCodes: Record<string, number> }).RetCodes['200'] ?? 0;
}

/**
 * Breaks every connection of the node program to the API server, as a load balancer or a firewall would. How many there
 * were; the kernel needs CONFIG_INET_DIAG_DESTROY, and says so if it has not.
 */
export async function cutFromApiServer(node: string): Promise<number> {
  const worker = await workerOf(node);
  const filter = `dst ${network.host} dport = ${network.apiPort}`;
  const script = `set -e
    for port in $(ss -Htnp state established ${filter} | grep -F 'pid=${worker},' | sed -E 's/.*:([0-9]+) +${network.host}.*/\\1/'); do
      ss -HtK ${filter} sport = :$port | grep -c .
    done`;
  const { stdout } = await onNode(node, script);
  return stdout
    .split('\n')
    .filter(Boolean)
    .map(Number)
    .reduce((sum, cut) => sum + cut, 0);
}

/** Resident memory of the node program, MB. */
export async function memoryOnNode(node: string): Promise<number> {
  const worker = await workerOf(node);
  const { stdout } = await onNode(node, `awk '/^VmRSS/ { print $2 }' /proc/${worker}/status`);
  const kilobytes = Number(stdout.trim());
  if (kilobytes > 0) return kilobytes / 1024;
  throw new MeshError('NOT_FOUND', `no node program runs on node ${node}`);
}
