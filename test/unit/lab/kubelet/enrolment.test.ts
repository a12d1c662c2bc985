/** Waiting for the node program to capture a pod. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adminSocketGate, waitUntilEnrolled } from '../../../../src/lab/kubelet/enrolment.ts';
import { FakeClock, flushPromises } from '../../../support/fake-clock.ts';

describe('the admin socket', () => {
  let directory: string;
  let server: Server;
  let answer = { status: 200, body: '' };
  let asked: string | undefined;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'mesh-lab-gate-'));
    server = createServer((request, response) => {
      asked = request.url;
      response.writeHead(answer.status).end(answer.body);
    });
    server.listen(join(directory, 'admin.sock'));
    await once(server, 'listening');
  });

  afterEach(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });

  it.each([
    ['says so', 200, '{"enrolled":true}', true],
    ['says otherwise', 200, '{"enrolled":false}', false],
    ['does not know the pod', 404, '{"enrolled":true}', false],
    ['says something else', 200, 'soon', false],
  ])('is believed when it %s', async (_what, status, body, enrolled) => {
    answer = { status, body };
    await expect(adminSocketGate(join(directory, 'admin.sock')).isEnrolled('uid-1')).resolves.toBe(enrolled);
    expect(asked).toBe('/v1/enrolment/uid-1');
  });

  it('that nobody serves means: not enrolled', async () => {
    await expect(adminSocketGate(join(directory, 'nobody.sock')).isEnrolled('uid-1')).resolves.toBe(false);
  });
});

/** A wait that has asked for the first time. */
async function wait(answers: (asked: number) => boolean, signal = new AbortController().signal) {
  const clock = new FakeClock();
  let asked = 0;
  const gate = { isEnrolled: () => Promise.resolve(answers(++asked)) };
  const outcome = waitUntilEnrolled({ gate, uid: 'u', clock, signal }).then(
    () => 'enrolled',
    (error: unknown) => error,
  );
  await flushPromises();
  return { clock, waited: { outcome } };
}

describe('waiting', () => {
  it('ends with the first yes', async () => {
    const { clock, waited } = await wait((asked) => asked === 5);
    await clock.advance(1000);
    await expect(waited.outcome).resolves.toBe('enrolled');
  });

  it('gives up after half a minute and says where to look', async () => {
    const { clock, waited } = await wait(() => false);
    await clock.advance(31_000);
    await expect(waited.outcome).resolves.toMatchObject({
      code: 'TIMEOUT',
      hint: expect.stringContaining('lab logs --node'),
    });
  });

  it('ends when the pod is to end', async () => {
    const stop = new AbortController();
    const { clock, waited } = await wait(() => false, stop.signal);
    stop.abort(new Error('deleted'));
    await clock.advance(1000);
    await expect(waited.outcome).resolves.toMatchObject({ message: 'deleted' });
  });
});
