/** Keepers with a worker of the tests', ended after each test, and what can be seen of them from outside. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach } from '@jest/globals';
import { KeeperProcess } from './keeper-process.ts';

export const deadline = 60_000;
const running: KeeperProcess[] = [];
afterEach(async () => {
  for (const keeper of running.splice(0)) {
    keeper.child.kill('SIGKILL');
    await keeper.ended;
  }
});

export function start(...parameters: ConstructorParameters<typeof KeeperProcess>): KeeperProcess {
  const keeper = new KeeperProcess(...parameters);
  running.push(keeper);
  return keeper;
}

/** A keeper whose worker listens under the name `web`, and serves. */
export async function serving(options: readonly string[] = []): Promise<{ keeper: KeeperProcess; port: number; pid: number }> {
  const keeper = start(options);
  const pid = await keeper.worker();
  const { port = 0 } = await keeper.ask('listen web');
  await keeper.ask('ready');
  await keeper.logged('the worker serves');
  return { keeper, port, pid };
}

export async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; !(await holds()); await delay(5)) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}

export const isRefused = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(false)));
    socket.once('error', () => resolve(true));
  });

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Calls with the path of a socket that is not there yet. */
export const inDirectory = async (test: (path: string) => Promise<void>): Promise<void> => {
  const directory = mkdtempSync(join(tmpdir(), 'mebpf-keeper-'));
  await test(join(directory, 'keeper.sock')).finally(() => rmSync(directory, { recursive: true }));
};
