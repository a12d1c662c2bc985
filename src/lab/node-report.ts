/** What a kubelet tells the lab's commands about its node: written by the kubelet, read by `lab up` and `lab status`. */
import { readFile } from 'node:fs/promises';
import type { NodePaths } from './layout.ts';
import { writeFileAtomically } from './system/atomic-file.ts';
import type { ProcessRef } from './system/process.ts';

export interface ReportedProcess {
  readonly name: string;
  /** Absent while it does not run. */
  readonly process?: ProcessRef;
  readonly restarts: number;
  /** How it last ended: a signal's name or an exit code. */
  readonly lastExit?: string;
}

export interface NodeReport {
  readonly kubelet: ReportedProcess;
  /** The mesh's processes on this node; empty in a lab without a mesh. */
  readonly processes: readonly ReportedProcess[];
}

export const writeNodeReport = (paths: NodePaths, report: NodeReport): Promise<void> =>
  writeFileAtomically(paths.report, `${JSON.stringify(report, undefined, 2)}\n`);

/** undefined until the node's kubelet serves. */
export async function readNodeReport(paths: NodePaths): Promise<NodeReport | undefined> {
  const text = await readFile(paths.report, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as NodeReport);
}
