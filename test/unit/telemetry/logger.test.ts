import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { MeshError } from '../../../src/base/errors.ts';
import { createLogger, type RootLogger } from '../../../src/telemetry/logger.ts';

function logger(): {
  readonly log: RootLogger;
  readonly lines: () => Record<string, unknown>[];
  readonly text: () => string;
} {
  const chunks: string[] = [];
  const log = createLogger({
    level: 'info',
    base: { node: 'node-a' },
    destination: { write: (chunk) => void chunks.push(chunk) },
  });
  const text = (): string => chunks.join('');
  return {
    log,
    text,
    lines: () =>
      text()
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

const privateKey =
  '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY\n-----END EC PRIVATE KEY-----';
const secretPart = 'MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY';

describe('the logger', () => {
  it('writes one JSON object a line with time, level, base fields and the sentence', () => {
    const { log, lines } = logger();
    log.child({ pod: 'shop/web-1' }).warn({ attempt: 2 }, 'cannot enter the namespace');
    expect(lines()).toEqual([
      {
        level: 'warn',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        node: 'node-a',
        pod: 'shop/web-1',
        attempt: 2,
        msg: 'cannot enter the namespace',
      },
    ]);
  });

  it('changes its level at run time, for loggers made before', () => {
    const { log, lines } = logger();
    const child = log.child({ part: 'agent' });
    child.debug({}, 'not yet');
    log.setLevel('debug');
    child.debug({}, 'now');
    log.setLevel('error');
    child.warn({}, 'no more');
    expect(lines().map((line) => line['msg'])).toEqual(['now']);
  });

  it('tells an error by code, message, hint and causes, without a stack unless it is a bug', () => {
    const { log, lines } = logger();
    const cause = new Error('connect ECONNREFUSED');
    log.error(
      { error: new MeshError('DIAL_FAILED', 'no', { cause, hint: 'look', details: { port: 80 } }) },
      'x',
    );
    log.error({ error: new MeshError('INTERNAL', 'oops') }, 'y');
    expect(lines()[0]?.['error']).toEqual({
      code: 'DIAL_FAILED',
      message: 'no',
      hint: 'look',
      causes: ['connect ECONNREFUSED'],
      port: 80,
    });
    expect(lines()[1]?.['error']).toHaveProperty('stack');
  });

  it.each([
    ['a field called joinToken', { joinToken: 'swordfish' }, 'swordfish'],
    ['a nested private key', { ca: { keys: [{ privateKey: 'swordfish' }] } }, 'swordfish'],
    ['a PEM key inside a sentence', { detail: `got ${privateKey} from disk` }, secretPart],
    ['a truncated PEM key', { detail: `-----BEGIN PRIVATE KEY-----\n${secretPart}` }, secretPart],
    ['a bearer token', { header: 'Authorization: Bearer abc.def-ghi' }, 'abc.def-ghi'],
    ['the message of an error', { error: new Error(`bad: ${privateKey}`) }, secretPart],
    [
      'the cause of an error',
      { error: new MeshError('INTERNAL', 'x', { cause: new Error(privateKey) }) },
      secretPart,
    ],
    ['raw bytes', { password: Buffer.from('swordfish') }, 'swordfish'],
  ])('never writes %s', (_what, fields, secret) => {
    const { log, text } = logger();
    log.error(fields, 'something happened');
    log.child(fields).error({}, 'something happened');
    expect(text()).toContain('something happened');
    expect(text()).not.toContain(secret);
  });

  it('masks a key in the sentence itself', () => {
    const { log, text } = logger();
    log.error({}, `cannot use ${privateKey}`);
    expect(text()).not.toContain(secretPart);
  });

  it('leaves certificates and ordinary values alone', () => {
    const { log, lines } = logger();
    const certificate = '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----';
    log.info({ certificate, bytes: 12n, nested: { ok: true } }, 'x');
    expect(lines()[0]).toMatchObject({ certificate, bytes: '12', nested: { ok: true } });
  });

  it('writes exactly one parsable line for whatever it is given', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.anything({ withBigInt: true, withDate: true })),
        fc.string(),
        (fields, message) => {
          const { log, lines } = logger();
          log.info(fields, message);
          expect(lines()).toHaveLength(1);
        },
      ),
    );
  });

  it('survives a structure that contains itself', () => {
    const { log, lines } = logger();
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;
    log.info({ loop }, 'x');
    expect(lines()).toHaveLength(1);
  });
});
