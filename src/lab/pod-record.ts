/** A pod's processes: its holder, for `lab exec` to join, and its command, for a kubelet that comes after this one. */
import { readFile } from 'node:fs/promises';
import type { PodPaths } from './layout.ts';
import { writeFileAtomically } from './system/atomic-file.ts';
import type { ProcessRef } from './system/process.ts';

export interface PodRecord {
  readonly uid: string;
  readonly holder: ProcessRef;
  /** Absent while the command does not run. */
  readonly container?: ProcessRef;
}

export const writePodRecord = (paths: PodPaths, record: PodRecord): Promise<void> =>
  writeFileAtomically(paths.record, `${JSON.stringify(record)}\n`);

export async function readPodRecord(paths: PodPaths): Promise<PodRecord | undefined> {
  const text = await readFile(paths.record, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as PodRecord);
}
