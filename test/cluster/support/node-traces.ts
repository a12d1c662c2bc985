/** What a mesh could change on a node, as the node's own tools show it: to compare a node before and after. */
import { MeshError } from '../../../src/base/errors.ts';
import { running } from '../commands/context.ts';
import { runOnNode } from '../machine/node.ts';
import { findNode } from '../machine/state.ts';
import { context } from './cluster-under-test.ts';

/** `what: line`, sorted. Times and counters are left out, and what the container runtime keeps of its containers. */
export type NodeTraces = readonly string[];

// kube-proxy's tables are its own: it empties the chains of a Service that is gone, and removes them with some later change.
// A link-local address has its routes only when the kernel has seen, seconds after the interface came, that nobody else has it.
const networkOf = (enter: string): string => `
  ${enter} ip rule; ${enter} ip -6 rule
  ${enter} ip -4 route show table all; ${enter} ip -6 route show table all | grep -vE '^(local|anycast) fe80:'
  ${enter} nft list tables | grep -v ' kube-proxy$' | while read -r table; do ${enter} nft -s list $table; done
  ${enter} ss -Hltn | awk '{print $1, $4}'`;

const looks: Readonly<Record<string, string>> = {
  pins: 'find /sys/fs/bpf -mindepth 1',
  run: "find /run -mindepth 1 -path /run/containerd -prune -o -printf '%y %p\\n'",
  state: "find /var/lib/mesh-ebpf -mindepth 1 -printf '%y %p\\n'",
  cni: 'find /etc/cni/net.d /opt/cni/bin -type f -exec sha256sum {} + -exec stat -c "%a %U %n" {} +',
  node: networkOf(''),
  iptables: "iptables-save | sed 's/\\[[0-9:]*\\]//; /^#/d'; ip6tables-save | sed 's/\\[[0-9:]*\\]//; /^#/d'",
  pods: `for pod in /run/netns/*; do ( ${networkOf('nsenter --net=$pod')} ) | sed "s|^|$pod |"; done`,
};

export async function nodeTraces(node: string): Promise<NodeTraces> {
  const traces: string[] = [];
  for (const [what, script] of Object.entries(looks)) {
    traces.push(...(await linesOf(node, script)).map((line) => `${what}: ${line}`));
  }
  return traces.toSorted();
}

/** Ids of the BPF links and programs that are pinned on the node: other nodes have the same kernel. */
export async function pinnedInKernel(node: string): Promise<readonly string[]> {
  const script =
    'for pin in /sys/fs/bpf/mesh-ebpf/links/*; do bpftool -j link show pinned "$pin"; echo; done';
  const links = (await linesOf(node, script)).map((line) => JSON.parse(line) as BpfLink);
  return links.map(nameOf);
}

export async function linksInKernel(node: string): Promise<readonly string[]> {
  const [json = '[]'] = await linesOf(node, 'bpftool -j link show');
  return (JSON.parse(json) as readonly BpfLink[]).map(nameOf);
}

interface BpfLink {
  readonly id: number;
  readonly prog_id: number;
}

const nameOf = ({ id, prog_id }: BpfLink): string => `link ${id} of program ${prog_id}`;

/** Lines that only one of the two has, of them as many as a person reads. */
export const difference = (before: NodeTraces, after: NodeTraces, most = 30): readonly string[] =>
  [
    ...before.filter((line) => !after.includes(line)).map((line) => `gone: ${line}`),
    ...after.filter((line) => !before.includes(line)).map((line) => `new: ${line}`),
  ].slice(0, most);

async function linesOf(name: string, script: string): Promise<readonly string[]> {
  const { machine, state } = await running(context);
  const { code, stdout, stderr } = await runOnNode(machine, findNode(state, name), ['bash', '-c', script]);
  if (code !== 0) throw new MeshError('SYSCALL', `on ${name}: ${stderr.trim().slice(0, 500)}`);
  return stdout.split('\n').filter((line) => line.trim() !== '');
}
