// The keeper and who comes to it from outside: the keeper of the next version, which takes over, and a probe.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from '@jest/globals';
import { keeperPath } from './support/keeper-process.ts';
import { deadline, dial, inDirectory, isAlive, isRefused, serving, start, until } from './support/keepers.ts';

describe('a successor', () => {
  it(
    'takes over the sockets while the predecessor drains, and nobody is refused',
    () =>
      inDirectory(async (path) => {
        const { keeper: old, port, pid } = await serving(['--handover', path]);
        const successor = start(['--handover', path]);
        const next = await successor.worker();
        await until('the old worker to have drained', () => !isAlive(pid));
        const waiting = await dial(port);
        expect(await successor.ask('serve web')).toEqual({ served: 'web' });
        expect(await text(waiting)).toBe(`served by ${next}`);
        await successor.ask('ready');
        await old.logged('the successor serves');
        // It waits to be ended, so that nobody starts it again.
        expect(await old.stop()).toBe(0);
        expect(await isRefused(port)).toBe(false);
      }),
    deadline,
  );

  it(
    'that dies before it serves is no loss: the predecessor goes on',
    () =>
      inDirectory(async (path) => {
        const { keeper: old, port, pid } = await serving(['--handover', path]);
        const successor = start(['--handover', path]);
        await successor.worker();
        await until('the old worker to have drained', () => !isAlive(pid));
        await successor.stop('SIGKILL');
        await old.logged('going on ourselves');
        const waiting = await dial(port);
        const again = await old.worker();
        expect(await old.ask('serve web')).toEqual({ served: 'web' });
        expect(await text(waiting)).toBe(`served by ${again}`);
      }),
    deadline,
  );

  it(
    'is no reason to hurry: a predecessor that is ended lets its worker finish',
    () =>
      inDirectory(async (path) => {
        const { keeper: old } = await serving(['--handover', path]);
        await old.ask('linger');
        const successor = start(['--handover', path]);
        await successor.worker();
        await old.logged('the worker drains');
        await successor.ask('ready');
        await old.logged('the successor serves');
        await old.said('asked to stop');
        old.child.kill('SIGTERM');
        await old.logged('asked to end');
        // It would have ended with a second signal.
        expect(await old.ask('done')).toEqual({ done: 'done' });
        expect(await old.ended).toBe(0);
      }),
    deadline,
  );

  it.each([
    { what: 'version', uid: 0, answer: 'refused version', reason: 'the successor speaks another version' },
    { what: 'user', uid: 65534, answer: '', reason: 'the successor is another user' },
  ])(
    'of another $what gets nothing',
    ({ uid, answer, reason }) =>
      inDirectory(async (path) => {
        const { keeper, port } = await serving(['--handover', path]);
        await until('the handover socket', () => existsSync(path));
        expect(statSync(path).mode & 0o777).toBe(0o600);
        // Even one who got past the files' permissions.
        chmodSync(path, 0o666);
        chmodSync(dirname(path), 0o755);
        const said = execFileSync('python3', ['-c', otherSuccessor, path, String(uid)], { encoding: 'utf8' });
        expect(said.trim()).toBe(answer);
        await keeper.logged(reason);
        expect(await isRefused(port)).toBe(false);
      }),
    deadline,
  );
});

/** One whose whole answer is this. */
const answering = async (answer: string, test: (path: string) => void | Promise<void>): Promise<void> =>
  inDirectory(async (path) => {
    const server = createServer((socket) => socket.once('data', () => socket.end(answer)).on('error', () => {}));
    server.listen(path);
    await once(server, 'listening');
    await Promise.resolve(test(path)).finally(() => server.close());
  });
/** Exit code and words of the probe. */
const ask = async (path: string): Promise<readonly [number | null, string]> => {
  const child = spawn(keeperPath, ['--probe', path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = text(child.stdout);
  const [code] = (await once(child, 'close')) as [number | null];
  return [code, await said];
};

describe('a probe', () => {
  it.each([
    ['ready', 'HTTP/1.1 200 OK\r\n\r\nready\n', 0, ''],
    ['not ready', 'HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: enrolment\n', 1, 'not ready: enrolment\n'],
    ['talking nonsense', 'x'.repeat(100_000), 1, 'not ready: the answer is not understood\n'],
    ['silent', '', 1, 'not ready: the answer is not understood\n'],
  ])('of one who is %s says so', (_, answer, code, said) =>
    answering(answer, async (path) => {
      expect(await ask(path)).toEqual([code, said]);
    }),
  );

  it('of nobody says so', () =>
    inDirectory(async (path) => {
      expect(await ask(path)).toEqual([1, `not ready: ${path}: No such file or directory\n`]);
    }));
});

const otherSuccessor = `import os, socket, sys
os.setuid(int(sys.argv[2]))
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
try:
    s.send(b'keeper 2')
    print(s.recv(100).decode())
except (BrokenPipeError, ConnectionResetError):
    pass`;
