/** `lab exec` as `kubectl exec` is used: by hand in a terminal, and by scripts without one. */
import { describe, expect } from '@jest/globals';
import { cli, environment, program } from './support/cli.ts';
import { labSuiteWith } from './support/lab.ts';
import { namespace, pod } from './support/manifest.ts';
import { PodProcess } from './support/pod-process.ts';
import { until } from './support/wait.ts';

const { scenario } = labSuiteWith(
  ['--no-mesh'],
  namespace('shop', 'none'),
  pod('shop/web', { node: 'node-a' }),
);

const inWeb = (...command: readonly string[]): readonly string[] => ['shop/web', '--', ...command];

/** A person at a terminal: what is typed goes in, what is on the screen comes out. */
class Terminal {
  readonly #process: PodProcess;
  #screen = '';

  constructor(commandLine: string) {
    // script(1) makes the terminal and passes on the exit status. Without `exec`, its shell would hear Ctrl-C as well.
    const argv = ['script', '--quiet', '--return', '--command', `exec ${commandLine}`, '/dev/null'] as const;
    this.#process = new PodProcess(argv, { ...environment, TERM: 'vt100' });
    this.#process.child.stdout.on('data', (chunk: Buffer) => (this.#screen += chunk.toString()));
  }

  type(text: string): void {
    this.#process.child.stdin.write(text);
  }

  shows(text: RegExp): Promise<void> {
    return until(`${String(text)} on the screen, which has: ${this.#screen}`, () => text.test(this.#screen));
  }

  async ended(): Promise<number> {
    return (await this.#process.finished).code;
  }
}

describe('in a terminal, -it', () => {
  scenario(
    'gives the command the terminal, its keys and its size, and passes on its exit status',
    async () => {
      const terminal = new Terminal(`${program} lab exec -it shop/web -- sh`);
      // What is typed is on the screen too: quotes tell it from what the command says.
      terminal.type(`echo "$(hostname)" is on "$(tty)", type "$TERM"\n`);
      await terminal.shows(/web is on \/dev\/pts\/\d+, type vt100\r\n/);
      terminal.type('stty rows 33 cols 99; stty size\n');
      await terminal.shows(/^33 99\r\n/m);
      terminal.type(`sh -c 'echo st""arted; exec sleep 1000'\n`);
      await terminal.shows(/started\r\n/);
      terminal.type('\u0003');
      terminal.type('echo interrupted: $?\n');
      await terminal.shows(/interrupted: 130\r\n/);
      terminal.type('exit 7\n');
      expect(await terminal.ended()).toBe(7);
    },
  );

  scenario('ends with the command that Ctrl-C ends', async () => {
    const terminal = new Terminal(
      `${program} lab exec -it shop/web -- sh -c 'echo started; exec sleep 1000'`,
    );
    await terminal.shows(/started\r\n/);
    terminal.type('\u0003');
    expect(await terminal.ended()).toBe(130);
  });

  scenario('outlives a Ctrl-C that the command survives', async () => {
    const stubborn = `trap "echo not yet" INT; echo started; while :; do read line && exit "$line"; done`;
    const terminal = new Terminal(`${program} lab exec -it shop/web -- sh -c '${stubborn}'`);
    await terminal.shows(/started\r\n/);
    terminal.type('\u0003');
    await terminal.shows(/not yet\r\n/);
    terminal.type('\u0003');
    await terminal.shows(/not yet\r\n[^]*not yet\r\n/);
    terminal.type('5\n');
    expect(await terminal.ended()).toBe(5);
  });
});

describe('without a terminal', () => {
  scenario('input is passed on with -i, to its end', async () => {
    const { code, stdout } = await cli(['lab', 'exec', '-i', ...inWeb('sh', '-c', 'cat; exit 3')], {
      stdin: 'hello',
    });
    expect([code, stdout]).toEqual([3, 'hello']);
  });

  scenario('a loop over lines keeps its lines where the command does not ask for them', async () => {
    const loop = `while read -r line; do ${program} lab exec shop/web -- cat; echo "$line"; done`;
    const shell = new PodProcess(['sh', '-c', loop], environment);
    shell.child.stdin.end('one\ntwo\n');
    expect((await shell.finished).stdout).toBe('one\ntwo\n');
  });

  scenario('-t is told that there is none, and the command runs all the same', async () => {
    const { code, stdout, stderr } = await cli(['lab', 'exec', '-it', ...inWeb('sh', '-c', 'tty; cat')], {
      stdin: 'hello',
    });
    expect([code, stdout]).toEqual([0, 'not a tty\nhello']);
    expect(stderr).toContain('standard input is not a terminal');
  });

  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    scenario(`${signal} ends the command in the pod, not only the one who waits for it`, async () => {
      const command = ['sh', '-c', 'echo "$$"; exec sleep 1000'];
      const running = new PodProcess([program, 'lab', 'exec', ...inWeb(...command)], environment);
      const pid = await running.nextJson<number>();
      const { code } = await running.kill(signal);
      expect(code).toBe(status);
      expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    });
  }
});
