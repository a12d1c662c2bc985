/** `lab logs`: what a pod, or one of a node's own processes, has written. */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../base/errors.ts';
import { nodesOf, requireLab } from '../lab-file.ts';
import { findPod } from '../plan/find-pod.ts';
import type { PodName } from '../plan/find-pod.ts';
import { objectsOfKind } from '../plan/objects.ts';
import { ObjectStore } from '../system/object-store.ts';
import type { LabContext } from './context.ts';

export type LogSource =
  | { readonly type: 'pod'; readonly pod: PodName }
  | { readonly type: 'node'; readonly node: string; readonly process: NodeProcess };

export const nodeProcesses = ['mesh', 'kubelet', 'controller'] as const;
export type NodeProcess = (typeof nodeProcesses)[number];

export interface LogOptions {
  readonly source: LogSource;
  /** Go on until interrupted. */
  readonly follow: boolean;
  /** Only this many lines of what is there already. */
  readonly tail: number | undefined;
}

export async function labLogs(
  context: LabContext,
  options: LogOptions,
  write: (text: string) => void,
): Promise<void> {
  const path = await logPath(context, options.source);
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return context.progress('nothing has been written yet');
  try {
    await copyLog(file, options, write, context.signal);
  } finally {
    await file.close();
  }
}

async function logPath({ layout }: LabContext, source: LogSource): Promise<string> {
  const state = await requireLab(layout);
  if (source.type === 'pod') {
    const { namespace, name } = findPod(
      objectsOfKind(new ObjectStore(layout).read(), 'Pod'),
      source.pod,
    ).metadata;
    return layout.pod(namespace, name).log;
  }
  const names = nodesOf(state).map(({ name }) => name);
  if (!names.includes(source.node)) {
    throw new MeshError('NOT_FOUND', `there is no node "${source.node}"`, {
      hint: `there are ${names.join(', ')}`,
    });
  }
  const paths = layout.node(source.node);
  return { mesh: paths.meshLog, kubelet: paths.kubeletLog, controller: paths.controllerLog }[source.process];
}

const askEveryMs = 100;

async function copyLog(
  file: FileHandle,
  { follow, tail }: LogOptions,
  write: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const decoder = new TextDecoder();
  let position = 0;
  const next = async (): Promise<string> => {
    const { size } = await file.stat();
    // A log that was cut begins anew.
    if (size < position) position = 0;
    const buffer = Buffer.alloc(size - position);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    position += bytesRead;
    return decoder.decode(buffer.subarray(0, bytesRead), { stream: true });
  };
  write(lastLines(await next(), tail));
  if (!follow) return;
  while (!signal.aborted) {
    await delay(askEveryMs, undefined, { signal }).catch(() => {});
    const text = await next();
    if (text !== '') write(text);
  }
}

/** The last `count` lines of a text, the end of an unfinished one included. */
export function lastLines(text: string, count: number | undefined): string {
  if (count === undefined) return text;
  const lines = text.split(/(?<=\n)/);
  return count === 0 ? '' : lines.slice(-count).join('');
}
