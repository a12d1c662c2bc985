import { describe, expect, it } from '@jest/globals';
import type { PodState } from '../../../../src/agent/pod-state.ts';
import { followPods, reportOf } from '../../../../src/apps/node/pod-reports.ts';
import { MeshError } from '../../../../src/base/errors.ts';
import type { NodeName, WorkloadUid } from '../../../../src/model/mesh.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { meshOf, pod } from '../../../support/mesh-builder.ts';

const error = new MeshError('NETNS', 'not this one');
const web = pod('shop/web', { ips: ['10.0.0.1'] });
const annotated = { ...web, annotated: true } as const;
const now = 100_000;
const enrolled = (proof?: { since: number; error: MeshError | undefined }): PodState => ({
  state: 'enrolled',
  since: 0,
  proof,
});
const failed = (since: number): PodState => ({ state: 'failed', since, attempts: 9, error });

describe('of a pod', () => {
  it.each([
    ['that is enrolled: to be annotated', web, enrolled(), true, undefined],
    ['that is enrolled and annotated: nothing', annotated, enrolled(), undefined, undefined],
    ['that left: the annotation goes', annotated, undefined, false, undefined],
    ['that never belonged into the mesh: nothing', web, undefined, undefined, undefined],
    ['that a new agent has not looked at: nothing', annotated, { state: 'pending' }, undefined, undefined],
    ['that is just starting: nothing', annotated, failed(now - 7_999), undefined, undefined],
    ['that has been outside for 8 s: it is', annotated, failed(now - 8_000), false, 'EnrolmentFailed'],
    [
      'whose proof has just failed: nothing',
      annotated,
      enrolled({ since: now - 2_499, error }),
      undefined,
      undefined,
    ],
    [
      'not captured though it was mended: so',
      annotated,
      enrolled({ since: now - 2_500, error }),
      undefined,
      'CaptureBroken',
    ],
  ] as const)('%s', (_, workload, state, redirected, reason) => {
    const report = reportOf(workload, state, now);
    expect([report.redirected, report.trouble?.reason]).toEqual([redirected, reason]);
  });
});

it('reports the own node’s pods once a second, and forgets those that are gone', async () => {
  const clock = new FakeClock();
  const reported: string[] = [];
  const mesh = meshOf({ workloads: [web, pod('shop/other', { ips: ['10.0.0.2'], node: 'node-b' })] });
  const stop = followPods({
    mesh,
    node: 'node-a' as NodeName,
    enrolment: { stateOf: () => enrolled() },
    clock,
    reporter: {
      report: ({ name }) => void reported.push(name),
      forget: (uid: WorkloadUid) => void reported.push(`no ${uid}`),
    },
  });
  await clock.advance(2_000);
  expect(reported).toEqual(['web', 'web']);
  mesh.apply({
    workloads: new Map([[web.uid, undefined]]),
    services: new Map(),
    policies: new Map(),
    peerAuthentications: new Map(),
  });
  await clock.advance(5_000);
  stop();
  await clock.advance(5_000);
  expect(reported).toEqual(['web', 'web', 'no shop/web']);
});
