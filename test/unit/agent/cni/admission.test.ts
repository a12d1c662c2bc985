import { describe, expect, it } from '@jest/globals';
import { CniAdmission, type Sandbox } from '../../../../src/agent/cni/admission.ts';
import type { PodState } from '../../../../src/agent/pod-state.ts';
import { MeshError } from '../../../../src/base/errors.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { parseIp } from '../../../../src/base/ip.ts';
import type { NodeName, Workload, WorkloadUid } from '../../../../src/model/mesh.ts';
import type { PendingWorkload } from '../../../../src/model/pod-lookup.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { meshOf, pod } from '../../../support/mesh-builder.ts';

const uid = 'u-1' as WorkloadUid;
const web: Workload = { ...pod('shop/web', { ips: ['10.244.1.5'] }), uid };
const sandbox = (more: Partial<Sandbox> = {}): Sandbox => ({
  pod: { namespace: 'shop', name: 'web', uid },
  containerId: 'c-1',
  netns: '/proc/7/fd/3',
  addresses: [parseIp('10.244.1.77')],
  ...more,
});

interface Given {
  readonly known?: readonly Workload[];
  /** What the API server has. */
  readonly found?: PendingWorkload | MeshError;
  readonly enrolment?: MeshError;
  readonly state?: PodState;
}

function setup({ known = [], found, enrolment, state }: Given) {
  const mesh = meshOf({ workloads: known });
  const clock = new FakeClock();
  const claims = new Map<string, WorkloadUid>();
  const enrolled: (readonly string[] | undefined)[] = [];
  const running = new Set<WorkloadUid>();
  let asked = 0;
  const since = clock.now();
  const admission = new CniAdmission(
    {
      mesh,
      clock,
      log: silentLogger,
      lookup: {
        findPod: () => {
          asked += 1;
          return found instanceof MeshError ? Promise.reject(found) : Promise.resolve(found);
        },
      },
      namespaces: {
        claim: ({ uid: id }, container) => Promise.resolve(void claims.set(container, id)),
        release: (container) => {
          const id = claims.get(container);
          claims.delete(container);
          return id;
        },
        claims: () => Array.from(claims, ([containerId, id]) => ({ uid: id, containerId, since })),
        isRunning: (id) => Promise.resolve(running.has(id)),
      },
      enrolment: {
        enrolNow: (id) => {
          enrolled.push(mesh.view.workloads.get(id)?.addresses);
          return enrolment === undefined ? Promise.resolve() : Promise.reject(enrolment);
        },
        stateOf: () => state,
      },
    },
    'node-a' as NodeName,
  );
  return { admission, mesh, claims, enrolled, running, clock, asked: () => asked };
}

describe('a sandbox that is made', () => {
  it('for a pod that the node knows is enrolled with the addresses the sandbox got', async () => {
    const { admission, enrolled, asked } = setup({ known: [web] });
    expect(await admission.add(sandbox())).toBe('enrolled');
    expect(enrolled).toEqual([['10.244.1.77']]);
    expect(asked()).toBe(0);
  });

  it('for a pod that the node does not know yet is enrolled as the API server has it', async () => {
    const { admission, mesh } = setup({ found: web });
    expect(await admission.add(sandbox())).toBe('enrolled');
    expect(mesh.view.workloads.get(uid)?.addresses).toEqual(['10.244.1.77']);
  });

  it.each([
    ['is not labelled', { protocol: 'tcp' as const }],
    ['is on the host’s network', { hostNetwork: true }],
  ])('for a pod that %s is let go', async (_why, more) => {
    const { admission, claims, enrolled } = setup({ found: { ...web, ...more } });
    expect(await admission.add(sandbox())).toBe('outside');
    expect({ claims: claims.size, enrolled }).toEqual({ claims: 0, enrolled: [] });
  });

  it.each([
    ['nobody knows', undefined, 'is not known (yet)'],
    ['nobody can ask about', new MeshError('UNAVAILABLE', 'the API server is away'), 'is away'],
    ['has a namesake only', { ...web, uid: 'u-0' as WorkloadUid }, 'with UID u-0 only'],
    ['is another node’s', { ...web, node: 'node-b' as NodeName }, 'on node node-b'],
  ])('for a pod that %s is refused, to be tried again', async (_why, found, message) => {
    const { admission, enrolled } = setup(found === undefined ? {} : { found });
    await expect(admission.add(sandbox())).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining(message),
    });
    expect(enrolled).toEqual([]);
  });

  it('for a static pod is known by the UID that it has on its node', async () => {
    const found = { ...web, uid: 'api-uid' as WorkloadUid, nodeUid: uid };
    expect(await setup({ found }).admission.add(sandbox())).toBe('enrolled');
  });

  it('by a runtime that does not say the UID is known by its name', async () => {
    const { admission } = setup({ found: web });
    const unnamed = { namespace: 'shop', name: 'web', uid: undefined };
    expect(await admission.add(sandbox({ pod: unnamed }))).toBe('enrolled');
  });

  it('for a pod that cannot be enrolled is refused, and leaves nothing behind', async () => {
    const { admission, mesh, claims } = setup({
      found: web,
      enrolment: new MeshError('BPF_MAP_FULL', 'full'),
    });
    await expect(admission.add(sandbox())).rejects.toMatchObject({ code: 'BPF_MAP_FULL' });
    expect({ workloads: mesh.view.workloads.size, claims: claims.size }).toEqual({ workloads: 0, claims: 0 });
  });
});

describe('a sandbox that ends', () => {
  it('takes its pod out of the mesh unless the source knows it', async () => {
    const unknown = setup({ found: web });
    await unknown.admission.add(sandbox());
    unknown.admission.remove('c-1');
    expect(unknown.mesh.view.workloads.size).toBe(0);
    const known = setup({ known: [web] });
    await known.admission.add(sandbox());
    known.admission.remove('c-1');
    expect(known.mesh.view.workloads.get(uid)?.addresses).toEqual(['10.244.1.5']);
  });

  it('without anybody’s word is forgotten: at the next list of those that exist', async () => {
    const { admission, claims } = setup({ found: web });
    await admission.add(sandbox());
    admission.retain(new Set(['c-1', 'c-9']));
    expect(claims.size).toBe(1);
    admission.retain(new Set(['c-9']));
    expect(claims.size).toBe(0);
  });

  it('without anybody’s word is forgotten: after ten minutes without a process', async () => {
    const { admission, claims, running, clock } = setup({ found: web });
    await admission.add(sandbox());
    running.add(uid);
    await clock.advance(601_000);
    await admission.removeAbandoned();
    expect(claims.size).toBe(1);
    running.clear();
    await admission.removeAbandoned();
    expect(claims.size).toBe(0);
  });
});

describe('the runtime’s question whether all is well', () => {
  const since = 0;
  it.each([
    ['a captured pod', { state: 'enrolled' as const, since, proof: undefined }, true],
    [
      'a pod whose capture does not hold',
      { state: 'enrolled' as const, since, proof: { since, error: new MeshError('NETNS', 'no') } },
      false,
    ],
    ['a pod outside that belongs inside', { state: 'pending' as const }, false],
  ])('about %s', async (_case, state, good) => {
    const answer = setup({ known: [web], state }).admission.check(sandbox());
    await (good
      ? expect(answer).resolves.toBe('enrolled')
      : expect(answer).rejects.toMatchObject({ code: 'NETNS' }));
  });
});
