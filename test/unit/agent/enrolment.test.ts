import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import type { NodeName } from '../../../src/model/mesh.ts';
import { settle, setup, startProcess, uid, workload } from './enrolling.ts';

describe('enrolling the pods of this node', () => {
  it('prepares, captures and only then serves a pod', async () => {
    startProcess(1);
    const { enrolment, events } = setup([workload(1)]);
    await enrolment.start();
    expect(events).toEqual(['rules', 'capture 1', 'serve 1', 'ready']);
    expect(enrolment.stateOf(uid(1))?.state).toBe('enrolled');
    expect(enrolment.counts()).toEqual({ expected: 1, enrolled: 1, verified: 0 });
  });

  it('leaves alone what is on other nodes, not in the mesh, or on the host’s network', async () => {
    const { enrolment, events } = setup([
      workload(1, { node: 'node-b' as NodeName }),
      workload(2, { protocol: 'tcp' }),
      workload(3, { hostNetwork: true }),
    ]);
    await enrolment.start();
    expect(events).toEqual(['ready']);
    expect(enrolment.counts()).toEqual({ expected: 0, enrolled: 0, verified: 0 });
  });

  it('waits for a pod whose processes are not there yet', async () => {
    const { enrolment, clock, events } = setup([workload(1)]);
    await enrolment.start();
    expect(enrolment.stateOf(uid(1))).toMatchObject({ state: 'failed', error: { code: 'NETNS' } });
    startProcess(1);
    await clock.advance(50);
    await settle(() => enrolment.stateOf(uid(1))?.state === 'enrolled');
    expect(events.at(-1)).toBe('serve 1');
    expect(enrolment.stateOf(uid(1))?.state).toBe('enrolled');
  });

  it('never captures a namespace that does not have the pod’s address', async () => {
    startProcess(1);
    const { enrolment, events, kernel } = setup([workload(1)]);
    kernel.wrongNamespace = true;
    await enrolment.start();
    expect(events).toEqual(['ready']);
    expect(enrolment.stateOf(uid(1))).toMatchObject({
      state: 'failed',
      error: { code: 'NETNS', message: expect.stringContaining('lacks the pod') },
    });
    expect([...kernel.openFds.values()]).toEqual([]);
  });

  it('releases a pod that leaves the mesh, and its namespace when its last connection has ended', async () => {
    startProcess(1);
    const { enrolment, events, replace, kernel } = setup([workload(1)]);
    await enrolment.start();
    events.length = 0;
    replace([workload(1, { protocol: 'tcp' })]);
    await settle(() => events.includes('retire 1'));
    expect(events).toEqual(['release 1', 'retire 1']);
    kernel.lastConnection.resolve();
    await settle(() => events.includes('no rules'));
    expect(events).toEqual(['release 1', 'retire 1', 'no rules']);
    expect([...kernel.openFds.values()].filter((name) => name.startsWith('/proc'))).toEqual([]);
  });

  it('leaves its namespace as it is when it has come back into the mesh meanwhile', async () => {
    startProcess(1);
    const { enrolment, events, replace, kernel } = setup([workload(1)]);
    await enrolment.start();
    events.length = 0;
    replace([workload(1, { protocol: 'tcp' })]);
    await settle(() => events.includes('retire 1'));
    replace([workload(1)]);
    await settle(() => events.includes('serve 1'));
    kernel.lastConnection.resolve();
    await enrolment.enrolNow(uid(1));
    expect(events).toEqual(['release 1', 'retire 1', 'rules', 'capture 1', 'serve 1']);
    expect(enrolment.stateOf(uid(1))?.state).toBe('enrolled');
  });

  it('ends the connections of a pod that is gone, also those it left the mesh with', async () => {
    startProcess(1);
    const { enrolment, events, replace } = setup([workload(1)]);
    await enrolment.start();
    replace([workload(1, { protocol: 'tcp' })]);
    await settle(() => events.includes('retire 1'));
    events.length = 0;
    replace([]);
    await settle(() => events.includes('stop 1'));
    expect(events).toEqual(['stop 1']);
  });

  it('releases what an earlier agent captured and nobody wants any more', async () => {
    const { enrolment, events } = setup([], [uid(7)]);
    await enrolment.start();
    expect(events).toEqual(['release 7', 'stop 7', 'ready']);
  });

  it('keeps pods captured when it stops: the mesh must not open because its agent restarts', async () => {
    startProcess(1);
    const { enrolment, events, kernel } = setup([workload(1)]);
    await enrolment.start();
    await enrolment.stop();
    expect(kernel.captured.has(uid(1))).toBe(true);
    expect(events).not.toContain('release 1');
  });

  it('enrols a pod again whose sandbox was replaced', async () => {
    startProcess(1);
    const { enrolment, events, kernel, clock } = setup([workload(1)]);
    await enrolment.start();
    kernel.inode = 2n;
    events.length = 0;
    await clock.advance(5000);
    await settle(() => events.includes('serve 1'));
    expect(events).toEqual(['release 1', 'stop 1', 'no rules', 'rules', 'capture 1', 'serve 1']);
  });

  it('keeps a pod captured that only a snapshot says is not in the mesh, until the API server says so', async () => {
    startProcess(7);
    const { enrolment, kernel, clock, namespaces } = setup([workload(7, { protocol: 'tcp' })], [uid(7)]);
    kernel.current = false;
    await namespaces.scan();
    await enrolment.start();
    await clock.advance(60_000);
    expect([...kernel.captured]).toEqual([uid(7)]);
    kernel.current = true;
    await clock.advance(10_000);
    await settle(() => kernel.captured.size === 0);
  });

  it('keeps a pod captured that an earlier agent captured, that runs, and of which nobody says anything yet', async () => {
    startProcess(7);
    const { enrolment, kernel, replace, events, namespaces } = setup([], [uid(7)]);
    await namespaces.scan();
    await enrolment.start();
    expect([...kernel.captured]).toEqual([uid(7)]);
    events.length = 0;
    replace([workload(7, { protocol: 'tcp' })]);
    await settle(() => kernel.captured.size === 0);
    expect(events).toEqual(['release 7', 'stop 7']);
  });
});

describe('proving that enrolled pods are captured', () => {
  const broken = new MeshError('NETNS', 'what arrives for it is not captured');

  it('begins when the datapath is active, and goes on in turn', async () => {
    for (const n of [1, 2, 3]) startProcess(n);
    const { enrolment, clock } = setup([workload(1), workload(2), workload(3)]);
    await enrolment.start();
    expect(enrolment.counts().verified).toBe(0);
    enrolment.startProving();
    await clock.advance(0);
    await settle(() => enrolment.counts().verified === 2);
    await settle(() => clock.nextDelay === 5000);
    await clock.advance(5000);
    await settle(() => enrolment.counts().verified === 3);
    expect(enrolment.counts()).toEqual({ expected: 3, enrolled: 3, verified: 3 });
  });

  it('mends what does not hold, without ending a connection', async () => {
    startProcess(1);
    const { enrolment, clock, kernel, events } = setup([workload(1)]);
    await enrolment.start();
    kernel.broken = broken;
    events.length = 0;
    enrolment.startProving();
    await clock.advance(0);
    await settle(() => events.length > 0);
    expect(events).toEqual(['capture 1']);
    await settle(() => clock.nextDelay === 5000);
    expect(enrolment.stateOf(uid(1))).toMatchObject({ state: 'enrolled', proof: { error: broken } });
    kernel.broken = undefined;
    await clock.advance(5000);
    await settle(() => enrolment.counts().verified === 1);
    expect(enrolment.counts().verified).toBe(1);
  });
});
