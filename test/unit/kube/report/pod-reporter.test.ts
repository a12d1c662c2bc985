import { beforeEach, describe, expect, it } from '@jest/globals';
import { MeshError, type ErrorCode } from '../../../../src/base/errors.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import type { KubeRequest } from '../../../../src/kube/client/kube-client.ts';
import type { Trouble } from '../../../../src/kube/report/pod-report.ts';
import { type PodReport, PodReporter } from '../../../../src/kube/report/pod-reporter.ts';
import type { WorkloadUid } from '../../../../src/model/mesh.ts';
import { FakeClock, flushPromises } from '../../../support/fake-clock.ts';

const minutes = 60_000;
const pod = (name: string) => ({ namespace: 'shop', name, uid: `uid-${name}` as WorkloadUid });
const web = pod('web-1');
const captured: PodReport = { redirected: true, trouble: undefined };
const lost: Trouble = {
  reason: 'EnrolmentFailed',
  error: new MeshError('NETNS', 'the namespace is another pod’s', { hint: 'delete the pod' }),
};
const failing: PodReport = { redirected: undefined, trouble: lost };

let clock: FakeClock;
let asked: KubeRequest[];
/** Thrown at the next requests, one each. */
let failures: ErrorCode[];
let reporter: PodReporter;
beforeEach(() => {
  clock = new FakeClock();
  asked = [];
  failures = [];
  const request = async (each: KubeRequest): Promise<unknown> => {
    asked.push(each);
    const code = failures.shift();
    if (code !== undefined) throw new MeshError(code, 'as the test says');
    return { metadata: {}, series: { count: 4, lastObservedTime: 'earlier' } };
  };
  reporter = new PodReporter({ client: { request }, clock, log: silentLogger, node: 'node-a' });
});

/** With time enough to ask, if there is something to be asked at once. */
async function report(...said: Parameters<PodReporter['report']>): Promise<void> {
  reporter.report(...said);
  await flushPromises();
}

const lines = (): readonly string[] => asked.map(({ method, path }) => `${method} ${path}`);

describe('the annotation', () => {
  it('is written through the status, of this pod and no namesake', async () => {
    await report(web, captured);
    expect(asked).toEqual([
      {
        method: 'PATCH',
        path: '/api/v1/namespaces/shop/pods/web-1/status',
        contentType: 'application/merge-patch+json',
        body: { metadata: { uid: web.uid, annotations: { 'ambient.istio.io/redirection': 'enabled' } } },
      },
    ]);
  });

  it('is removed when the pod leaves', async () => {
    await report(web, { redirected: false, trouble: undefined });
    expect(JSON.stringify(asked[0]?.body)).toContain('"ambient.istio.io/redirection":null');
  });

  it('is not written again until it had time to be seen', async () => {
    await report(web, captured);
    await clock.advance(10_000);
    await report(web, captured);
    await clock.advance(20_000);
    expect(asked).toHaveLength(1);
    await report(web, captured);
    expect(asked).toHaveLength(2);
  });
});

describe('an Event', () => {
  it('warns on the pod, and says why and what to do next', async () => {
    await report(web, failing);
    expect(lines()).toEqual(['POST /apis/events.k8s.io/v1/namespaces/shop/events']);
    expect(asked[0]?.body).toMatchObject({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      type: 'Warning',
      reason: 'EnrolmentFailed',
      note: 'NETNS: the namespace is another pod’s. delete the pod',
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'mesh-ebpf.io/node',
      reportingInstance: 'node-a',
      regarding: { kind: 'Pod', namespace: 'shop', name: 'web-1', uid: web.uid },
    });
  });

  it('is told once, and counted every five minutes while it goes on', async () => {
    for (let second = 0; second < 301; second++) {
      if (second === 300) failures = ['ALREADY_EXISTS'];
      await report(web, failing);
      await clock.advance(1_000);
    }
    expect(lines().map((line) => line.split(' ')[0])).toEqual(['POST', 'POST', 'PATCH', 'PATCH']);
    expect(asked[2]?.body).toEqual({});
    expect(asked[3]?.body).toEqual({
      series: { count: 5, lastObservedTime: '2026-01-01T00:05:00.000000Z' },
    });
  });

  it('of another node program for the same trouble is the same one', async () => {
    await report(web, failing);
    const [first] = asked;
    failures = ['ALREADY_EXISTS'];
    const client = { request: async (each: KubeRequest) => (asked.push(each), { metadata: {} }) };
    new PodReporter({ client, clock, log: silentLogger, node: 'node-a' }).report(web, failing);
    await flushPromises();
    expect(asked[1]?.body).toEqual(first?.body);
  });

  it('holds at most 1024 bytes of text, whole characters', async () => {
    const error = new MeshError('NETNS', '’'.repeat(1000));
    await report(web, { redirected: undefined, trouble: { ...lost, error } });
    const note = (asked[0]?.body as { note: string } | undefined)?.note ?? '';
    expect(Buffer.byteLength(note)).toBeGreaterThan(1000);
    expect(Buffer.byteLength(note)).toBeLessThanOrEqual(1024);
    expect(note).not.toContain('\u{fffd}\u{fffd}');
  });
});

describe('an API server that is away', () => {
  it('is asked again later, more and more seldom, with what is true by then', async () => {
    failures = ['UNAVAILABLE', 'TIMEOUT', 'UNAVAILABLE'];
    await report(web, captured);
    await clock.advance(750);
    expect(asked).toHaveLength(2);
    await report(web, { redirected: false, trouble: undefined });
    await clock.advance(10 * minutes);
    expect(asked).toHaveLength(4);
    expect(JSON.stringify(asked[3]?.body)).toContain(':null');
  });

  it('keeps nobody waiting, and what waits is bounded', async () => {
    failures = ['UNAVAILABLE'];
    for (let n = 0; n < 5_000; n++) reporter.report(pod(`web-${n}`), captured);
    await flushPromises();
    expect(asked).toHaveLength(1);
    await clock.advance(10 * minutes);
    expect(asked).toHaveLength(2_050);
  });

  it('is not asked about pods that are gone meanwhile, nor after the end', async () => {
    failures = ['UNAVAILABLE', 'UNAVAILABLE'];
    await report(web, captured);
    reporter.forget(web.uid);
    await clock.advance(minutes);
    expect(asked).toHaveLength(1);
    await report(pod('web-2'), captured);
    reporter.stop();
    await report(web, captured);
    await clock.advance(minutes);
    expect(asked).toHaveLength(2);
  });
});

const eventsAsked = (): number => asked.filter(isEvent).length;
const isEvent = ({ path }: KubeRequest): boolean => path.includes('/events');

describe('an API server that forbids Events', () => {
  it('is named, gets annotations all the same, and is asked again every half minute until it permits them', async () => {
    let isGranted = false;
    const request = async (each: KubeRequest): Promise<unknown> => {
      asked.push(each);
      if (isEvent(each) && !isGranted) throw new MeshError('API_FORBIDDEN', 'x may not create events');
      return await Promise.resolve({});
    };
    reporter = new PodReporter({ client: { request }, clock, log: silentLogger, node: 'node-a' });
    await report(web, { redirected: false, trouble: lost });
    const since = clock.now();
    for (let n = 0; n < 20; n++) {
      await report(web, { redirected: undefined, trouble: lost });
      await report(pod(`web-${n + 2}`), captured);
      await clock.advance(1_000);
    }
    expect(eventsAsked()).toBe(1);
    expect(lines()).toContain('PATCH /api/v1/namespaces/shop/pods/web-21/status');
    expect(reporter.failures).toEqual([expect.objectContaining({ since, error: expect.any(MeshError) })]);

    await clock.advance(10_000);
    await report(web, { redirected: undefined, trouble: lost });
    expect(eventsAsked()).toBe(2);
    isGranted = true;
    await clock.advance(30_000);
    await report(web, { redirected: undefined, trouble: lost });
    expect(eventsAsked()).toBe(3);
    expect(reporter.failures).toEqual([]);
    await clock.advance(30_000);
    await report(web, { redirected: undefined, trouble: lost });
    expect(eventsAsked()).toBe(3);
  });

  it('is told from one that is away: then everything waits, and that is named', async () => {
    failures = ['UNAVAILABLE'];
    await report(web, captured);
    expect(reporter.failures.map(({ error }) => error.code)).toEqual(['UNAVAILABLE']);
    await clock.advance(minutes);
    expect(reporter.failures).toEqual([]);
  });
});

it('writes about ten pods a second', async () => {
  for (let n = 0; n < 50; n++) reporter.report(pod(`web-${n}`), captured);
  await flushPromises();
  await clock.advance(1_000);
  expect(asked.length).toBeGreaterThanOrEqual(10);
  expect(asked.length).toBeLessThanOrEqual(11);
});

it.each(['NOT_FOUND', 'CONFLICT', 'INVALID_MANIFEST'] as const)(
  'leaves a pod alone after %s, and goes on with the next',
  async (code) => {
    failures = [code];
    await report(web, captured);
    await report(pod('web-2'), captured);
    await clock.advance(1_000);
    expect(lines()).toEqual([
      'PATCH /api/v1/namespaces/shop/pods/web-1/status',
      'PATCH /api/v1/namespaces/shop/pods/web-2/status',
    ]);
  },
);
