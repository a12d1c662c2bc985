/** When a node tells controllers which policies it enforces: rarely, spread out, and never twice the same. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { PolicyReporter } from '../../../src/agent/policy-reporter.ts';
import { MeshError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { Progress } from '../../../src/kube/api/api-source.ts';
import type { PolicyReportReply } from '../../../src/rpc/generated/policy-report.ts';
import { FakeClock } from '../../support/fake-clock.ts';

let clock: FakeClock;
let sent: { readonly to: string; readonly applied: Readonly<Record<string, string>>; readonly at: number }[];
let progress: Progress;
let controllers: string[];
let reply: () => PolicyReportReply;
let reporter: PolicyReporter;

beforeEach(() => {
  clock = new FakeClock(0);
  sent = [];
  progress = { kind: 'AuthorizationPolicy', version: '10', revision: 1 };
  controllers = ['a'];
  reply = () => ({ spreadMs: 1_000, againMs: 600_000, trouble: undefined });
  reporter = new PolicyReporter({
    clock,
    log: silentLogger,
    progress: () => [progress],
    controllers: () => controllers,
    send: async (to, applied) => {
      sent.push({ to, applied: Object.fromEntries(applied), at: clock.now() });
      return reply();
    },
  });
});
afterEach(() => reporter.stop());

const changes = (version: number): void => {
  progress = { ...progress, version: String(version), revision: progress.revision + 1 };
};

describe('a change', () => {
  it('is told to every controller, with the version up to which everything is in force', async () => {
    controllers = ['a', 'b'];
    await clock.advance(3_000);
    expect(sent.map(({ to, applied }) => [to, applied])).toEqual([
      ['a', { AuthorizationPolicy: '10' }],
      ['b', { AuthorizationPolicy: '10' }],
    ]);
    changes(20);
    await clock.advance(3_000);
    expect(sent.slice(2).map(({ applied }) => applied['AuthorizationPolicy'])).toEqual(['20', '20']);
  });

  it('is told within the time that the controller wants nodes to spread over, and many as one', async () => {
    reply = () => ({ spreadMs: 50_000, againMs: 600_000, trouble: undefined });
    await clock.advance(3_000);
    for (let version = 20; version < 40; version++) {
      changes(version);
      await clock.advance(1_000);
    }
    await clock.advance(40_000);
    expect(sent).toHaveLength(2);
    expect(sent[1]?.at).toBeGreaterThan(25_000);
    expect(sent[1]?.applied).toEqual({ AuthorizationPolicy: '39' });
  });

  it('is followed up once, where more was read since: somebody may have written in the same moment', async () => {
    await clock.advance(3_000);
    for (let version = 11; version < 100; version++) {
      progress = { ...progress, version: String(version) };
      await clock.advance(1_000);
    }
    expect(sent).toHaveLength(2);
  });
});

describe('without a change', () => {
  it('a report comes when the controller wants it, within limits', async () => {
    reply = () => ({ spreadMs: 0, againMs: 0, trouble: undefined });
    await clock.advance(60_500);
    expect(sent.length).toBeGreaterThan(4);
    expect(sent.length).toBeLessThan(8);
    reply = () => ({ spreadMs: 0, againMs: 4_000_000_000, trouble: undefined });
    await clock.advance(20_000);
    const before = sent.length;
    await clock.advance(3_610_000);
    expect(sent).toHaveLength(before + 1);
  });

  it('a controller that is new is told, one that is gone is not', async () => {
    await clock.advance(3_000);
    controllers = ['b'];
    await clock.advance(60_000);
    expect(sent.map(({ to }) => to)).toEqual(['a', 'b']);
  });
});

describe('a controller', () => {
  it('that is away is asked more and more seldom, and told when it is back', async () => {
    reply = () => {
      throw new MeshError('UNAVAILABLE', 'away');
    };
    await clock.advance(3_600_000);
    expect(sent.length).toBeGreaterThan(10);
    expect(sent.length).toBeLessThan(40);
    reply = () => ({ spreadMs: 1_000, againMs: 600_000, trouble: undefined });
    await clock.advance(300_000);
    const before = sent.length;
    await clock.advance(300_000);
    expect(sent).toHaveLength(before);
  });

  it('that is an authority of others, which knows no such thing, is left alone', async () => {
    reply = () => {
      throw new MeshError('UNSUPPORTED', 'unknown service');
    };
    await clock.advance(1_799_000);
    expect(sent).toHaveLength(3);
  });

  it('says what keeps it from writing, for as long as something does', async () => {
    controllers = ['a', 'b'];
    const trouble = { code: 'API_FORBIDDEN', message: 'may not patch', hint: 'grant it' };
    reply = () => ({ spreadMs: 1_000, againMs: 30_000, trouble });
    await clock.advance(3_000);
    expect(reporter.troubles).toEqual([trouble]);
    reply = () => ({ spreadMs: 1_000, againMs: 600_000, trouble: undefined });
    await clock.advance(40_000);
    expect(reporter.troubles).toEqual([]);
  });
});
