/** What goes on in a pod's network besides its sockets. */
import { type LabPod, sh } from './lab.ts';

/** Runs a shell line in a pod's network namespace, and returns what it prints. */
export const inside = ({ netns }: Pick<LabPod, 'netns'>, line: string): string =>
  sh(`nsenter --net=${netns} sh -c '${line}'`);

/** Packets of the hook and kind are dealt with so, until what this returns is called. */
export function packetRule(pod: LabPod, hook: 'input' | 'output', rule: string): () => void {
  inside(
    pod,
    `nft add table ip t; nft add chain ip t c "{ type filter hook ${hook} priority 0; }"; nft add rule ip t c "${rule}"`,
  );
  return () => void inside(pod, 'nft delete table ip t');
}
