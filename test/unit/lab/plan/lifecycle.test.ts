/** The rules of a pod's life: readiness, restarts, deletion, what it finds around itself. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { deletion, selectObjects } from '../../../../src/lab/plan/deletion.ts';
import { findPod } from '../../../../src/lab/plan/find-pod.ts';
import { wantsMesh } from '../../../../src/lab/plan/enrolled.ts';
import {
  containerArgv,
  expand,
  hostsFile,
  podEnvironment,
  resolvConf,
} from '../../../../src/lab/plan/pod-files.ts';
import { afterProbe, initialProbeState, probeDelayMs } from '../../../../src/lab/plan/probe-state.ts';
import { isOver, pendingPod, podStatus, publishedCondition } from '../../../../src/lab/plan/pod-status.ts';
import {
  afterExit,
  howEnded,
  restartDelayMs,
  restartsSoFar,
  shouldRestart,
} from '../../../../src/lab/plan/restart.ts';
import { unreadyPods } from '../../../../src/lab/commands/pods-ready.ts';
import { parseIp } from '../../../../src/base/ip.ts';
import { account, namespace, objectsOf, pod, service } from '../objects.ts';

describe('readiness', () => {
  const probe = { successThreshold: 2, failureThreshold: 3, periodSeconds: 10, initialDelaySeconds: 4 };
  const after = (...outcomes: readonly boolean[]) =>
    outcomes.reduce((state, succeeded) => afterProbe(state, succeeded, probe), initialProbeState);

  it('takes as many successes in a row as the probe asks for', () => {
    expect(after(true).ready).toBe(false);
    expect(after(true, false, true).ready).toBe(false);
    expect(after(true, true).ready).toBe(true);
  });

  it('is lost after as many failures in a row, not before', () => {
    expect(after(true, true, false, false).ready).toBe(true);
    expect(after(true, true, false, true, false, false).ready).toBe(true);
    expect(after(true, true, false, false, false).ready).toBe(false);
  });

  it('has Kubernetes’ thresholds where none are given', () => {
    const ready = afterProbe(initialProbeState, true, {});
    expect(ready.ready).toBe(true);
    expect([1, 2, 3].reduce((state) => afterProbe(state, false, {}), ready).ready).toBe(false);
  });

  it('is asked often until the first success, then at the probe’s own pace', () => {
    expect(probeDelayMs(initialProbeState, probe, true)).toBe(4000);
    expect(probeDelayMs(after(false), probe, false)).toBe(250);
    expect(probeDelayMs(after(true, true), probe, false)).toBe(10_000);
  });
});

describe('a condition', () => {
  it('reads as it was published, so that the next kubelet goes on from it', () => {
    for (const condition of [
      pendingPod,
      { phase: 'Running', ready: true, restarts: 2, reason: '', message: '' },
      { phase: 'Running', ready: false, restarts: 5, reason: 'CrashLoopBackOff', message: 'it ended' },
      { phase: 'Failed', ready: false, restarts: 0, reason: 'Error', message: 'it ended' },
    ] as const) {
      const published = { ...pod(), status: podStatus(pod(), condition, '10.10.0.1') };
      expect(publishedCondition(published)).toEqual(condition);
      expect(isOver(condition)).toBe(condition.phase === 'Failed');
    }
  });

  it('of a pod nobody has begun is pending', () => {
    const { status: _status, ...fresh } = pod();
    expect(publishedCondition(fresh)).toEqual(pendingPod);
  });
});

describe('restarts', () => {
  it('wait longer each time, up to ten seconds', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7, 8].map((recent) => restartDelayMs({ recent, total: recent }));
    expect(delays).toEqual([200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  });

  it('forget old failures once the command ran for a minute, but count all', () => {
    const failing = [1, 2, 3].reduce((count) => afterExit(count, 10), restartsSoFar(7));
    expect(afterExit(failing, 60_000)).toEqual({ recent: 1, total: 11 });
  });

  it('are told with how the last run ended', () => {
    expect([0, 3, 137, 143].map(howEnded)).toEqual(['exit code 0', 'exit code 3', 'SIGKILL', 'SIGTERM']);
  });

  it('follow the restart policy', () => {
    expect([
      shouldRestart('Always', 0),
      shouldRestart('OnFailure', 0),
      shouldRestart('OnFailure', 1),
      shouldRestart('Never', 1),
    ]).toEqual([true, false, true, false]);
  });
});

describe('deleting', () => {
  const now = Date.parse('2026-01-01T00:00:00.000Z');

  it('marks pods with the time at which they must be gone', () => {
    const { write, remove } = deletion(
      [pod({ spec: { terminationGracePeriodSeconds: 5 } }), service('web')],
      { now, graceSeconds: undefined },
    );
    expect(write).toMatchObject([
      { kind: 'Pod', metadata: { deletionTimestamp: '2026-01-01T00:00:05.000Z' } },
    ]);
    expect(remove).toEqual([]);
  });

  it('can be hurried by a second deletion, never delayed', () => {
    const doomed = pod({ deleted: '2026-01-01T00:00:05.000Z' });
    const at = (graceSeconds: number) =>
      deletion([doomed], { now, graceSeconds }).write[0]?.metadata.deletionTimestamp;
    expect(at(0)).toBe('2026-01-01T00:00:00.000Z');
    expect(at(60)).toBe('2026-01-01T00:00:05.000Z');
  });

  it('takes along everything in a namespace', () => {
    const objects = objectsOf(
      namespace('shop'),
      account('default'),
      pod(),
      namespace('other'),
      pod({ namespace: 'other' }),
    );
    const doomed = selectObjects(objects, [{ kind: 'Namespace', namespace: 'default', name: 'shop' }], []);
    expect(doomed.map(({ kind }) => kind)).toEqual(['Namespace', 'ServiceAccount', 'Pod']);
  });

  it('says in which namespace a name exists that was not found', () => {
    const name = { kind: 'Pod', namespace: 'default', name: 'web' } as const;
    expect(() => selectObjects(objectsOf(pod()), [name], [])).toThrow(
      expect.objectContaining({ code: 'NOT_FOUND', hint: 'try -n shop' }),
    );
  });
});

describe('a pod by name', () => {
  const pods = [pod(), pod({ name: 'db' }), pod({ namespace: 'other' })];

  it('is found by its name alone while only one has it', () => {
    expect(findPod(pods, { namespace: undefined, name: 'db' }).metadata.name).toBe('db');
    expect(findPod(pods, { namespace: 'other', name: 'web' }).metadata.namespace).toBe('other');
  });

  it('must be told apart when there are several, and is told with its neighbours when there is none', () => {
    expect(() => findPod(pods, { namespace: undefined, name: 'web' })).toThrow(
      expect.objectContaining({ hint: 'say which: shop/web, other/web' }),
    );
    expect(() => findPod(pods, { namespace: 'shop', name: 'cart' })).toThrow(
      expect.objectContaining({ hint: 'there are shop/web, shop/db, other/web' }),
    );
  });
});

describe('waiting for pods', () => {
  it('ends when all are ready or done', () => {
    expect(unreadyPods([pod(), pod({ ready: false, phase: 'Succeeded' })])).toBeUndefined();
  });

  it('names those that are not, and gives up on one that failed', () => {
    expect(unreadyPods([pod(), pod({ name: 'db', ready: false })])).toBe(
      '1 of 2 pods are not ready: shop/db (Running)',
    );
    expect(() => unreadyPods([pod({ phase: 'Failed' })])).toThrow(
      expect.objectContaining({ code: 'UNAVAILABLE' }),
    );
  });
});

describe('what a pod finds', () => {
  it('is Kubernetes’ resolver configuration and its own name', () => {
    expect(resolvConf('shop')).toBe(
      'search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\nnameserver fd10:96::a\noptions ndots:5\n',
    );
    expect(hostsFile('web', [parseIp('10.244.1.2')])).toContain('10.244.1.2\tweb\n');
  });

  it('is its manifest’s environment and nothing of the host’s', () => {
    const env = [
      { name: 'A', value: '1' },
      { name: 'B', value: '$(A) $(NONE) $$(A)' },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    ];
    const sketch = pod({ spec: { containers: [{ name: 'c', env }] } });
    const addressed = { ...sketch, status: { ...sketch.status, podIP: '10.244.1.2' } };
    expect(podEnvironment(addressed, '/bin')).toEqual({
      PATH: '/bin',
      HOME: '/root',
      HOSTNAME: 'web',
      A: '1',
      B: '1 $(NONE) $(A)',
      IP: '10.244.1.2',
      NAME: 'web',
    });
  });

  it('is command and arguments with variables expanded, or nothing to run', () => {
    const container = { name: 'c', command: ['serve', '--as=$(NAME)'], args: ['-v'] };
    expect(containerArgv(container, { NAME: 'web' })).toEqual(['serve', '--as=web', '-v']);
    expect(containerArgv({ name: 'c' }, {})).toBeUndefined();
  });

  it('never changes text without a variable in it', () => {
    fc.assert(
      fc.property(fc.string(), (text) => expand(text.replaceAll('$', ''), {}) === text.replaceAll('$', '')),
    );
  });
});

describe('being in the mesh', () => {
  const ambient = { 'istio.io/dataplane-mode': 'ambient' };
  it.each([
    ['its namespace is labelled', pod(), ambient, true],
    ['nothing is labelled', pod(), {}, false],
    [
      'it opts out of a labelled namespace',
      pod({ labels: { 'istio.io/dataplane-mode': 'none' } }),
      ambient,
      false,
    ],
    ['it is labelled itself', pod({ labels: ambient }), {}, true],
  ])('is decided when %s', (_when, subject, labels, wanted) => {
    expect(wantsMesh(subject, objectsOf(namespace('shop', labels)))).toBe(wanted);
  });
});
