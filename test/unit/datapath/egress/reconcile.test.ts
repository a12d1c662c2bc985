/** The `egress` map and the pods under it follow the mesh, and at no moment is anything open that should not be. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { MeshError } from '../../../../src/base/errors.ts';
import { parseIp } from '../../../../src/base/ip.ts';
import { type Logger, silentLogger } from '../../../../src/base/log.ts';
import { EgressReconciler, refusingSet } from '../../../../src/datapath/egress/reconcile.ts';
import type { EnrolledPod } from '../../../../src/datapath/pods.ts';
import type { NamespaceAccess } from '../../../../src/model/access.ts';
import type { Workload, WorkloadUid } from '../../../../src/model/mesh.ts';
import type { MeshStore } from '../../../../src/model/store.ts';
import { access, KernelEgress, rule } from '../../../support/egress.ts';
import { meshOf, pod, service } from '../../../support/mesh-builder.ts';
import { anyAccesses, everyQuestion, meshWith, naive, web } from './support.ts';

class FakePods {
  readonly enrolled = new Map<WorkloadUid, EnrolledPod>();
  /** Called after every write. */
  written: () => void = () => {};

  add(workload: Workload, egressSet: bigint): void {
    const { uid, addresses } = workload;
    const names = { uid, podId: 1, label: uid, cookie: 1n, netnsInode: 1n, netns: undefined };
    this.enrolled.set(uid, { ...names, addresses, egressSet });
  }

  list(): readonly EnrolledPod[] {
    return [...this.enrolled.values()];
  }

  setEgress(uid: WorkloadUid, egressSet: bigint): void {
    const known = this.enrolled.get(uid);
    if (known !== undefined) this.enrolled.set(uid, { ...known, egressSet });
    this.written();
  }

  setOf(uid: WorkloadUid): bigint {
    return this.enrolled.get(uid)?.egressSet ?? 0n;
  }
}

let kernel: KernelEgress;
let pods: FakePods;
let errors: string[];
let reconciler: EgressReconciler;

const log: Logger = { ...silentLogger, error: (_fields, message) => void errors.push(message) };

function start(capacity?: number): void {
  kernel = new KernelEgress(capacity);
  kernel.full = () => new MeshError('BPF_MAP_FULL', 'full');
  reconciler = new EgressReconciler({ egress: kernel, pods, log });
}

beforeEach(() => {
  pods = new FakePods();
  errors = [];
  start();
});

/** What an agent does when a pod starts. */
const enrol = (workload: Workload): void => pods.add(workload, reconciler.setFor(workload.uid));

const mayReach = (uid: WorkloadUid, ip: string, port = 443, protocol: 'tcp' | 'udp' = 'tcp'): boolean =>
  kernel.allows(pods.setOf(uid), parseIp(ip), port, protocol);

/** The store, followed as the node program does. */
function follow(objects: readonly NamespaceAccess[]): MeshStore {
  const store = meshWith(objects);
  reconciler.apply(store.view);
  store.subscribe((view, diff) => reconciler.apply(view, diff));
  return store;
}

const change = (store: MeshStore, objects: readonly NamespaceAccess[]): void =>
  store.replace({
    workloads: [...store.view.workloads.values()],
    services: [...store.view.services.values()],
    policies: [],
    peerAuthentications: [],
    access: objects,
  });

const closed = access('shop/closed', { egress: { default: 'deny', rules: [] } });
const toTen = access('shop/closed', { egress: { default: 'deny', rules: [rule('allow', '10.0.0.0/8')] } });

describe('a change of objects', () => {
  it('at every single write leaves each address under the old rules or the new ones', () => {
    fc.assert(
      fc.property(anyAccesses, anyAccesses, fc.boolean(), (before, after, restarted) => {
        pods = new FakePods();
        start();
        const store = follow(before);
        enrol(web);
        // The next agent finds what is there.
        if (restarted) reconciler = new EgressReconciler({ egress: kernel, pods, log });
        const questions = everyQuestion.filter((_, i) => i % 3 === 0);
        const old = questions.map((each) => naive(before, store.view, each.ip, each.port, each.protocol));
        const next = questions.map((each) => naive(after, store.view, each.ip, each.port, each.protocol));
        const check = (): void => {
          questions.forEach(({ ip, port, protocol }, i) => {
            const now = kernel.allows(pods.setOf(web.uid), ip, port, protocol);
            if (now !== old[i] && now !== next[i])
              throw new Error(`${ip}:${port}/${protocol} is ${now} in between`);
          });
        };
        kernel.written = check;
        pods.written = check;
        change(store, after);
        if (restarted) reconciler.apply(store.view);
        kernel.written = () => {};
        questions.forEach(({ ip, port, protocol }, i) => {
          const now = kernel.allows(pods.setOf(web.uid), ip, port, protocol);
          if (now !== next[i]) throw new Error(`${ip}:${port}/${protocol} is ${now} in the end`);
        });
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  it('that takes the last one away leaves nothing in the map', () => {
    const store = follow([closed]);
    enrol(web);
    expect(mayReach(web.uid, '8.8.8.8')).toBe(false);
    change(store, []);
    expect(mayReach(web.uid, '8.8.8.8')).toBe(true);
    expect([kernel.size, reconciler.entries, pods.setOf(web.uid)]).toEqual([0, 0, 0n]);
  });

  it('that touches nothing of a pod’s own writes nothing', () => {
    const store = follow([closed]);
    enrol(web);
    kernel.written = () => {
      throw new Error('written');
    };
    change(store, [closed, access('data/other', { egress: { default: 'deny', rules: [] } })]);
  });

  it('follows the addresses of the Services and namespaces that rules name', () => {
    const store = follow([
      access('shop/out', { egress: { default: 'deny', rules: [rule('allow', 'data/db @data 443/tcp')] } }),
    ]);
    enrol(web);
    expect(mayReach(web.uid, '10.96.0.7')).toBe(true);
    const { workloads, access: objects } = store.view;
    const moved = [...workloads.values()].filter(({ name }) => name !== 'db');
    store.replace({
      workloads: [...moved, pod('data/new', { ips: ['10.1.77.7'] })],
      services: [service('data/db', '10.96.0.99', '443:443', [])],
      policies: [],
      peerAuthentications: [],
      access: [...objects.values()],
    });
    expect(['10.96.0.7', '10.1.2.3'].map((ip) => mayReach(web.uid, ip))).toEqual([false, false]);
    expect(['10.96.0.99', '10.1.77.7'].map((ip) => mayReach(web.uid, ip))).toEqual([true, true]);
    expect(reconciler.entries).toBe(kernel.size);
  });
});

describe('pods', () => {
  it('with the same objects share entries; another label brings other objects', () => {
    const twin = pod('shop/twin', { ips: ['10.244.1.3'], labels: { app: 'web' } });
    const odd = pod('shop/odd', { ips: ['10.244.1.4'] });
    const labelled = access('shop/web', {
      labels: { app: 'web' },
      egress: { default: 'deny', rules: [rule('allow', '1.1.1.1')] },
    });
    const store = meshOf({ workloads: [web, twin, odd], access: [closed, labelled] });
    reconciler.apply(store.view);
    store.subscribe((view, diff) => reconciler.apply(view, diff));
    [web, twin, odd].forEach(enrol);
    expect(pods.setOf(twin.uid)).toBe(pods.setOf(web.uid));
    expect(pods.setOf(odd.uid)).not.toBe(pods.setOf(web.uid));
    expect([web, odd].map(({ uid }) => mayReach(uid, '1.1.1.1'))).toEqual([true, false]);

    store.replace({
      workloads: [web, twin, { ...odd, labels: { app: 'web' } }],
      services: [],
      policies: [],
      peerAuthentications: [],
      access: [closed, labelled],
    });
    expect(mayReach(odd.uid, '1.1.1.1')).toBe(true);
  });

  it('of which nobody knows anything may reach nothing, until somebody does', () => {
    enrol(web);
    expect(pods.setOf(web.uid)).toBe(refusingSet);
    expect(mayReach(web.uid, '8.8.8.8')).toBe(false);
    follow([]);
    expect(mayReach(web.uid, '8.8.8.8')).toBe(true);
  });

  it('that the model does not know any more keep what restricts them', () => {
    const store = follow([closed]);
    enrol(web);
    store.replace({ workloads: [], services: [], policies: [], peerAuthentications: [], access: [] });
    expect(mayReach(web.uid, '8.8.8.8')).toBe(false);
    reconciler.apply(store.view);
    expect(mayReach(web.uid, '8.8.8.8')).toBe(false);
  });
});

describe('the next agent', () => {
  it('finds the same set, writes nothing, and pods keep it', () => {
    const store = follow([closed]);
    enrol(web);
    const before = pods.setOf(web.uid);
    reconciler = new EgressReconciler({ egress: kernel, pods, log });
    kernel.written = () => {
      throw new Error('written');
    };
    reconciler.apply(store.view);
    expect(pods.setOf(web.uid)).toBe(before);
    expect(reconciler.setFor(web.uid)).toBe(before);
  });

  it('repairs what was changed by hand, and removes what is nobody’s', () => {
    const store = follow([closed]);
    enrol(web);
    const set = pods.setOf(web.uid);
    const everything = { open: [{ protocol: 'tcp', first: 0, last: 65_535 }] } as const;
    kernel.setAll([[{ set, bits: 104, base: parseIp('8.0.0.0') }, everything]]);
    kernel.setAll([[{ set: 99n, bits: 0, base: parseIp('::') }, everything]]);
    kernel.deleteAll([{ set, bits: 96, base: parseIp('0.0.0.0') }]);
    expect(mayReach(web.uid, '8.8.8.8')).toBe(true);
    reconciler.apply(store.view);
    expect(mayReach(web.uid, '8.8.8.8')).toBe(false);
    expect(kernel.size).toBe(reconciler.entries);
    expect(kernel.entries().some(([key]) => key.set === 99n)).toBe(false);
  });
});

describe('when the map is too small', () => {
  it('pods of whose objects not all fits reach nothing at all; others, and those again that fit, do', () => {
    const many = Array.from({ length: 20 }, (_, i) => `10.0.${i}.1`).join(' ');
    const wide = access('shop/closed', { egress: { default: 'deny', rules: [rule('allow', many)] } });
    start(12);
    const store = follow([toTen]);
    enrol(web);
    expect(mayReach(web.uid, '10.0.0.1')).toBe(true);
    change(store, [wide]);
    expect(errors.join()).toContain('the egress map is too small');
    expect(mayReach(web.uid, '10.0.0.1')).toBe(false);
    expect(mayReach(web.uid, '10.96.0.10', 53, 'udp')).toBe(false);
    expect(kernel.size).toBe(0);
    reconciler.apply(store.view);
    expect(mayReach(web.uid, '10.0.0.1')).toBe(false);
    change(store, [toTen]);
    expect(mayReach(web.uid, '10.0.0.1')).toBe(true);
  });

  it('in the kernel’s value, further ranges of ports stay closed', () => {
    const odd = Array.from({ length: 20 }, (_, i) => `${2 * i + 1}/tcp`).join(' ');
    follow([access('shop/a', { egress: { default: 'deny', rules: [rule('allow', odd)] } })]);
    enrol(web);
    expect(errors.join()).toContain('more than 16 ranges of ports');
    expect([1, 31, 33].map((port) => mayReach(web.uid, '8.8.8.8', port))).toEqual([true, true, false]);
  });
});

describe('a failure to write', () => {
  it('is mended the next time, whatever that is about', () => {
    const store = follow([closed]);
    enrol(web);
    kernel.written = () => {
      throw new MeshError('BPF_MAP', 'no');
    };
    change(store, [toTen]);
    kernel.written = () => {};
    expect(mayReach(web.uid, '10.0.0.1')).toBe(false);
    change(store, [toTen, access('data/x', { inbound: 'deny' })]);
    expect(mayReach(web.uid, '10.0.0.1')).toBe(true);
  });
});
