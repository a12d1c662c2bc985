/** `node knock.ts URL`: a connection and a request, again and again until the input ends; a line for each answer. */
import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const everyMs = 2;
const timeoutMs = 5000;
const [url = ''] = process.argv.slice(2);

const knock = (): Promise<'let in' | 'refused'> =>
  new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: timeoutMs }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode === 200 ? 'let in' : 'refused'));
      response.on('error', () => resolve('refused'));
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', () => resolve('refused'));
  });

process.stdin.resume().on('end', () => process.exit());
for (;;) {
  const answer = await knock();
  process.stdout.write(`${(performance.timeOrigin + performance.now()).toFixed(1)} ${answer}\n`);
  await delay(everyMs);
}
