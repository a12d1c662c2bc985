/**
 * Listens on the link between the lab's nodes, as somebody with a cable would, and afterwards looks for known
 * plaintext in what was heard. The same search finds the plaintext of unmeshed pods: it is able to fail.
 */
import { spawn } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../base/errors.ts';

export interface LinkCapture {
  /** Ends listening and answers whether a text crossed the link in the clear. */
  stop(): Promise<{ readonly bytes: number; contains(text: string): boolean }>;
}

/** tcpdump says this when it has begun; packets before it are not heard. */
const begun = /listening on/;
/** tcpdump is behind what it hears: its file is whole when it has not grown for this long, … */
const quietMs = 300;
/** … and if it never begins to grow, nothing crossed the link. */
const patienceMs = 2_000;
/** On a link that is never quiet: it is not further behind than this. */
const longestMs = 5_000;
const pcapHeaderBytes = 24;

/** @throws MeshError UNSUPPORTED when tcpdump is missing or cannot listen */
export async function captureLink(netns: string, file: string, filter = 'tcp'): Promise<LinkCapture> {
  // Short packets are enough to recognise, and large transfers do not fill the disk.
  const tcpdump = [
    'tcpdump',
    '-i',
    'any',
    '-n',
    '-U',
    '--immediate-mode',
    '-s',
    '2048',
    '-Z',
    'root',
    '-w',
    file,
    filter,
  ];
  const child = spawn('nsenter', [`--net=${netns}`, '--', ...tcpdump], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    let said = '';
    const failed = (): void =>
      reject(
        new MeshError('UNSUPPORTED', `tcpdump cannot listen on the link: ${said.trim()}`, {
          hint: 'apt-get install tcpdump',
        }),
      );
    child.once('error', failed).once('exit', failed);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (begun.test(said)) resolve();
    });
  });
  return {
    async stop() {
      await settled(file);
      child.kill('SIGINT');
      await ended;
      const heard = await readFile(file);
      return { bytes: heard.length, contains: (text) => heard.includes(text) };
    },
  };
}

async function settled(file: string): Promise<void> {
  const startedAt = performance.now();
  let size = await sizeOf(file);
  let changedAt = startedAt;
  for (;;) {
    await delay(50);
    const now = performance.now();
    const current = await sizeOf(file);
    if (current !== size) [size, changedAt] = [current, now];
    const patience = size <= pcapHeaderBytes ? patienceMs : quietMs;
    if (now - changedAt >= patience || now - startedAt >= longestMs) return;
  }
}

const sizeOf = async (file: string): Promise<number> => (await stat(file).catch(() => ({ size: 0 }))).size;
