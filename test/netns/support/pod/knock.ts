/**
 * `node knock.ts HOST PORT`: a connection to a server that speaks first, again and again until the input ends; a line for
 * each, with its moment. With `hold N` at the end N connections, and a line when each has begun and ended.
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const everyMs = 2;
const [host = '', port = '', mode, count = '1'] = process.argv.slice(2);
const say = (answer: string): void =>
  void process.stdout.write(
    `${JSON.stringify({ at: performance.timeOrigin + performance.now(), answer })}\n`,
  );

const knock = (): Promise<'let in' | 'refused'> =>
  new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.on('data', () => {
      resolve('let in');
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve('refused'));
  });

process.stdin.resume().on('end', () => process.exit());
if (mode === 'hold') {
  for (let i = 0; i < Number(count); i++) {
    const socket = connect(Number(port), host);
    socket.once('data', () => say('let in'));
    socket.on('error', () => {});
    socket.on('close', () => say('ended'));
  }
} else {
  for (;;) {
    say(await knock());
    await delay(everyMs);
  }
}
