/** `mesh-ebpf uninstall` on a machine with a lab. */
import { existsSync } from 'node:fs';
import { cli } from './cli.ts';
import { type Lab, nodeIds } from './lab.ts';
import { until } from './wait.ts';

interface UninstallReport {
  readonly items: readonly { readonly what: string; readonly result: string }[];
  readonly leftovers: readonly string[] | null;
}

export async function uninstall(
  ...flags: readonly string[]
): Promise<{ code: number; report: UninstallReport }> {
  const { code, stdout, stderr } = await cli(['uninstall', '-o', 'json', ...flags]);
  if (stdout === '') throw new Error(`uninstall said nothing but: ${stderr}`);
  return { code, report: JSON.parse(stdout) as UninstallReport };
}

/** Stops the kubelets, which would start the node programs again, and then these. */
export async function endNodePrograms(lab: Lab): Promise<void> {
  for (const node of nodeIds) {
    await lab.signal(node, 'SIGSTOP', 'kubelet');
    const { pid } = await lab.signal(node, 'SIGKILL');
    // Its parent is stopped and cannot take notice: it stays as a zombie, which holds nothing.
    await until(`the node program of ${node} to end`, () => !existsSync(`/proc/${pid}/fd/0`));
  }
}
