/**
 * One writer at a time among the lab's processes: a file that names its owner. An owner that died is noticed by its
 * start time and replaced. Not for threads of one process; those share an `ObjectStore`.
 */
import { open, readFile, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../base/errors.ts';
import { isAlive, processRef } from './process.ts';

const patienceMs = 10_000;
const retryMs = 3;

/** @throws MeshError TIMEOUT when another process holds the lock for too long. */
export async function withLock<T>(path: string, action: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + patienceMs;
  while (!(await tryLock(path))) {
    if (Date.now() > deadline) throw timeout(path);
    await removeStale(path);
    await delay(retryMs);
  }
  try {
    return await action();
  } finally {
    await rm(path, { force: true });
  }
}

async function tryLock(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600);
    await file.writeFile(JSON.stringify(processRef(process.pid)));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Only the holder of a second lock may remove a dead owner's, so that nobody removes the lock of its successor. */
async function removeStale(path: string): Promise<void> {
  if (!(await isStale(path)) || !(await tryLock(`${path}.repair`))) return;
  try {
    if (await isStale(path)) await rm(path, { force: true });
  } finally {
    await rm(`${path}.repair`, { force: true });
  }
}

async function isStale(path: string): Promise<boolean> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const match = /^\{"pid":(\d+),"startTime":"(\d+)"\}$/.exec(text);
  // Empty or half-written: its owner is writing it.
  return (
    match?.[1] !== undefined &&
    match[2] !== undefined &&
    !isAlive({ pid: Number(match[1]), startTime: match[2] })
  );
}

const timeout = (path: string): MeshError =>
  new MeshError('TIMEOUT', `${path} is held by another process`, {
    hint: 'another lab command is running or was interrupted; if nothing helps, mesh-ebpf lab down',
  });
