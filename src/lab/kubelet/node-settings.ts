/** Kernel settings of the node's network namespace. /proc/sys/net shows the namespace of whoever looks: the kubelet's. */
import { writeFile } from 'node:fs/promises';

const settings: Readonly<Record<string, string>> = {
  'net/ipv4/ip_forward': '1',
  'net/ipv6/conf/all/forwarding': '1',
  // Pods answer through the link they are asked on; a host that checks more strictly by default would not matter, but
  // a redirect to "a shorter way" between two pods of one node would.
  'net/ipv4/conf/all/send_redirects': '0',
  'net/ipv4/conf/default/send_redirects': '0',
};

export async function applyNodeSettings(): Promise<void> {
  for (const [name, value] of Object.entries(settings)) await writeFile(`/proc/sys/${name}`, value);
}
