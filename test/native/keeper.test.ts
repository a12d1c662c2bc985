// The keeper: what a worker hands over survives it, for as long as is allowed and no longer, whatever the worker says.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from '@jest/globals';
import { keeperPath } from './support/keeper-process.ts';
import { deadline, dial, isAlive, isRefused, serving, start, until } from './support/keepers.ts';

describe('a worker that is killed', () => {
  it(
    'is replaced, and the next one serves who waited in the meantime, on the same socket',
    async () => {
      const { keeper, port, pid } = await serving();
      process.kill(pid, 'SIGKILL');
      const waiting = await dial(port);
      const next = await keeper.worker();
      expect(await keeper.ask('serve web')).toEqual({ served: 'web' });
      expect(await text(waiting)).toBe(`served by ${next}`);
    },
    deadline,
  );

  it(
    'is counted, and its successors know how many there were',
    async () => {
      const { keeper, pid } = await serving();
      expect(await keeper.ask('restarts')).toEqual({ restarts: 0 });
      process.kill(pid, 'SIGKILL');
      process.kill(await keeper.worker(), 'SIGKILL');
      await keeper.worker();
      expect(await keeper.ask('restarts')).toEqual({ restarts: 2 });
    },
    deadline,
  );

  it(
    'is replaced ten times over, at once after it served',
    async () => {
      const { keeper, pid } = await serving();
      for (let i = 0, last = pid; i < 10; i++) {
        process.kill(last, 'SIGKILL');
        last = await keeper.worker();
        expect(await keeper.ask('take web')).toEqual({ taken: 'web' });
        await keeper.ask('ready');
        await keeper.logged('the worker serves; 1 descriptors are held');
      }
      const pauses = keeper.log.filter((line) => line.includes('started again'));
      expect(pauses).toHaveLength(10);
      expect(pauses.every((line) => line.includes('in 0 ms'))).toBe(true);
    },
    deadline,
  );

  it(
    'has its last words heard: what it handed over right before its end is held',
    async () => {
      const keeper = start();
      const pid = await keeper.worker();
      const { port = 0 } = await keeper.ask('listen late');
      process.kill(pid, 'SIGKILL');
      await keeper.worker();
      expect(await keeper.ask('take late')).toEqual({ taken: 'late' });
      expect(await isRefused(port)).toBe(false);
    },
    deadline,
  );

  it(
    'leaves nothing that its successor does not take',
    async () => {
      const { keeper, port, pid } = await serving();
      process.kill(pid, 'SIGKILL');
      await keeper.worker();
      await keeper.ask('ready');
      await keeper.logged('the worker serves; 0 descriptors');
      await until('the socket to be closed', () => isRefused(port));
    },
    deadline,
  );

  it(
    'leaves memory that the next one can read: certificates',
    async () => {
      const { keeper, pid } = await serving();
      await keeper.ask('memory certificate 4096');
      process.kill(pid, 'SIGKILL');
      await keeper.worker();
      expect(await keeper.ask('take certificate')).toEqual({ taken: 'certificate' });
    },
    deadline,
  );
});

describe('a worker that does not come back', () => {
  it(
    'within the time allowed has its sockets closed: whoever waits is refused',
    async () => {
      const { keeper, port, pid } = await serving(['--hold-seconds', '1']);
      process.kill(pid, 'SIGKILL');
      // The next one starts and hangs.
      const hanging = await keeper.worker();
      const waiting = connect(port, '127.0.0.1');
      const failure = once(waiting, 'error', { signal: AbortSignal.timeout(30_000) }).catch((error: unknown) => [error]);
      await keeper.logged('no worker serves after 1000 ms: 1 descriptors are closed');
      expect(await failure).toMatchObject([{ code: expect.stringMatching(/ECONNRESET|ECONNREFUSED/) }]);
      expect(await isRefused(port)).toBe(true);
      await until('the hanging worker to be ended', () => !isAlive(hanging));
      // It goes on trying, with nothing.
      await keeper.worker();
      expect(await keeper.ask('take web')).toEqual({ taken: null });
    },
    deadline,
  );

  it(
    'is tried with growing pauses while it dies at its start',
    async () => {
      const keeper = start([], ['sh', '-c', 'kill -9 $$']);
      await keeper.logged('in 800 ms');
      expect(keeper.log.map((line) => /in (\d+) ms/.exec(line)?.[1])).toEqual(['100', '200', '400', '800']);
    },
    deadline,
  );

  it(
    'and fails while nothing is held is the business of whoever started the keeper',
    async () => {
      expect(await start([], ['sh', '-c', 'exit 3']).ended).toBe(3);
      expect(await start([], ['/nonexistent']).ended).toBe(127);
    },
    deadline,
  );
});

describe('an orderly stop', () => {
  it(
    'passes the signal on, closes what is held, and ends as the worker does',
    async () => {
      const { keeper, port } = await serving();
      expect(await keeper.stop()).toBe(7);
      expect(await isRefused(port)).toBe(true);
    },
    deadline,
  );

  it(
    'is possible between two workers',
    async () => {
      const keeper = start([], ['sh', '-c', 'kill -9 $$']);
      await keeper.logged('in 400 ms');
      expect(await keeper.stop()).toBe(0);
    },
    deadline,
  );

  it(
    'of the worker alone ends the keeper too',
    async () => expect(await start([], ['true']).ended).toBe(0),
    deadline,
  );
});

describe('a keeper that is killed', () => {
  it(
    'takes its worker along: there are never two',
    async () => {
      const { keeper, pid } = await serving();
      await keeper.stop('SIGKILL');
      await until('the worker to be ended', () => !isAlive(pid));
    },
    deadline,
  );
});

describe('the first process of a container', () => {
  it(
    'reaps what others leave behind',
    async () => {
      // The inner shell ends at once; its child, then nobody's, soon after.
      const script = 'sh -c "sleep 0.1 &"; until ! pgrep sleep; do sleep 0.01; done; ps -eo stat= | grep -q ^Z';
      const command = ['sh', '-c', `if ${script}; then exit 1; fi`];
      // The leak checker cannot trace the first process of a namespace, and the shell's commands need no sanitizer.
      const env = ['env', '-u', 'LD_PRELOAD', 'ASAN_OPTIONS=detect_leaks=0'];
      const prefix = [...env, 'unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
      const keeper = start([], command, prefix);
      expect(await keeper.ended).toBe(0);
    },
    deadline,
  );
});

describe('a hostile worker', () => {
  it(
    'gets nothing held but bounded numbers of listening sockets and sealed memory',
    async () => {
      const script = join(import.meta.dirname, 'support/hostile-worker.py');
      const keeper = start([], ['python3', script]);
      const { port = 0 } = await keeper.started();
      await keeper.logged('the worker serves; 4096 descriptors are held');
      const { pid } = keeper.child;
      const beyondStreams = readdirSync(`/proc/${pid}/fd`).filter((fd) => Number(fd) > 2);
      const held = beyondStreams.map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
      expect(held.filter((target) => target.startsWith('/memfd:x'))).toHaveLength(256);
      expect(held.filter((target) => target.startsWith('/tmp'))).toEqual([]);
      // Its own: signals and the channel.
      expect(held.length).toBeLessThanOrEqual(4096 + 8);
      expect(keeper.log.filter((line) => line.includes('too many are held'))).not.toEqual([]);
      expect(await isRefused(port)).toBe(false);
      expect(await keeper.stop('SIGTERM')).toBe(128 + 15);
    },
    deadline,
  );

  it(
    'is told apart from one that only says nonsense: that is ignored',
    async () => {
      const { keeper, port, pid } = await serving();
      for (const nonsense of ['hold', 'drop', 'ready?', 'hold web', 'x'.repeat(500)]) await keeper.ask(`raw ${nonsense}`);
      await keeper.ask('file dev-null');
      await keeper.logged('neither a listening TCP socket nor sealed memory');
      process.kill(pid, 'SIGKILL');
      await keeper.worker();
      expect(await keeper.ask('take web')).toEqual({ taken: 'web' });
      expect(await isRefused(port)).toBe(false);
    },
    deadline,
  );
});

describe('the command line', () => {
  it.each([[[]], [['--hold-seconds', '0', '--', 'true']], [['--hold-seconds', 'x', '--', 'true']], [['--what']]])(
    'with %j is refused with its usage',
    (args) => {
      const run = (): unknown => execFileSync(keeperPath, args, { stdio: 'pipe' });
      expect(run).toThrow(expect.objectContaining({ status: 2, stderr: expect.any(Buffer) }));
    },
  );
});
