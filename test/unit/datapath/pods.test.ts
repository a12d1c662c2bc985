/** Enrolment step by step: the order of its writes, what a failure leaves behind, and what a restart finds. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import { type IpAddress, parseIp } from '../../../src/base/ip.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { Pod } from '../../../src/datapath/abi/layout.ts';
import { EnrolledPods, type PodDeps, type PodEnrolment } from '../../../src/datapath/pods.ts';
import type { WorkloadUid } from '../../../src/model/mesh.ts';
import type { Fd } from '../../../src/native/binding.ts';

/** What was done, in order; and at which step to fail. */
let log: string[];
let failAt: string | undefined;

function step(what: string): void {
  if (what === failAt) throw new MeshError('BPF_MAP_FULL', `${what} failed`);
  log.push(what);
}

class FakeTable<K, V> {
  readonly content = new Map<K, V>();
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  get(key: K): V | undefined {
    return this.content.get(key);
  }

  set(key: K, value: V): void {
    step(`+${this.#name}`);
    this.content.set(key, value);
  }

  setAll(entries: readonly (readonly [K, V])[]): void {
    step(`+${this.#name}`);
    for (const [key, value] of entries) this.content.set(key, value);
  }

  delete(key: K): boolean {
    step(`-${this.#name}`);
    return this.content.delete(key);
  }

  deleteAll(keys: readonly K[]): void {
    if (keys.length === 0) return;
    step(`-${this.#name}`);
    for (const key of keys) this.content.delete(key);
  }

  entries(): [K, V][] {
    return [...this.content];
  }
}

const nodeCookie = 1n;
let lastPodId = 0;
let pods: FakeTable<bigint, Pod>;
let localPods: FakeTable<IpAddress, number>;
let guarded: FakeTable<IpAddress, number>;
let listeners: FakeTable<number, bigint>;
let links: Map<bigint, string>;
let shares: Set<number>;

const deps = (): PodDeps => ({
  pods,
  localPods,
  guarded,
  listeners,
  shares: {
    add: (podId) => shares.add(podId),
    remove: (podId) => shares.delete(podId),
    keepOnly: (podIds) => void (shares = new Set([...shares].filter((podId) => podIds.has(podId)))),
  },
  links: {
    attachPod(inode, netns) {
      step('+link');
      links.set(inode, netns);
    },
    detachPod(inode) {
      if (links.delete(inode)) step('-link');
    },
    attachedPods: () => [...links.keys()],
  },
  egressSet: () => 0n,
  newPodId: (atLeast) => (lastPodId = Math.max(lastPodId + 1, atLeast)),
  netnsInode: (netns) => BigInt(netns.replace(/\D/g, '')),
  nodeCookie,
  log: silentLogger,
});

const request = (name: string, change: Partial<PodEnrolment> = {}): PodEnrolment => ({
  uid: `uid-${name}` as WorkloadUid,
  label: `shop/${name}`,
  cookie: 100n,
  netns: '/run/netns/7',
  addresses: ['10.0.0.1', 'fd00::1'].map(parseIp),
  plaintextListener: 33 as Fd,
  ...change,
});

const contents = (): unknown => ({
  pods: [...pods.content.keys()],
  localPods: [...localPods.content],
  guarded: [...guarded.content],
  listeners: [...listeners.content],
  links: [...links.keys()],
});

const nothing = { pods: [], localPods: [], guarded: [], listeners: [], links: [] };

let enrolled: EnrolledPods;
beforeEach(() => {
  log = [];
  failAt = undefined;
  lastPodId = 0;
  pods = new FakeTable('pods');
  localPods = new FakeTable('local_pods');
  guarded = new FakeTable('guarded');
  listeners = new FakeTable('listeners');
  links = new Map();
  shares = new Set();
  enrolled = new EnrolledPods(deps());
});

describe('enrolling a pod', () => {
  it('prepares where connections go before it captures any', () => {
    expect(enrolled.enrol(request('a'))).toBe(1);
    expect(shares).toEqual(new Set([1]));
    expect(log).toEqual(['+listeners', '+local_pods', '+link', '+guarded', '+pods']);
    expect(pods.get(100n)).toEqual({
      egressSet: 0n,
      netnsInode: 7n,
      id: 1,
      uid: 'uid-a',
      label: 'shop/a',
      ip4: '10.0.0.1',
      ip6: 'fd00::1',
    });
  });

  it.each(['+listeners', '+local_pods', '+link', '+guarded', '+pods'])(
    'leaves nothing behind if %s fails',
    (name) => {
      failAt = name;
      expect(() => enrolled.enrol(request('a'))).toThrow(expect.objectContaining({ code: 'BPF_MAP_FULL' }));
      expect(contents()).toEqual(nothing);
      expect(enrolled.list()).toEqual([]);
    },
  );

  it('again keeps its id, and keeps it enrolled even if that fails', () => {
    enrolled.enrol(request('a'));
    const before = contents();
    failAt = '+link';
    expect(() => enrolled.enrol(request('a'))).toThrow();
    expect(contents()).toEqual(before);
    failAt = undefined;
    expect(enrolled.enrol(request('a'))).toBe(1);
  });

  it('with other addresses gives up those it no longer has', () => {
    enrolled.enrol(request('a'));
    enrolled.enrol(request('a', { addresses: [parseIp('10.0.0.2')] }));
    expect([...localPods.content]).toEqual([['10.0.0.2', 1]]);
    expect(pods.get(100n)).toMatchObject({ ip4: '10.0.0.2', ip6: undefined });
  });

  it('in a new namespace captures there first, then lets go of the old one', () => {
    enrolled.enrol(request('a'));
    log = [];
    enrolled.enrol(request('a', { cookie: 200n, netns: '/run/netns/8' }));
    expect(log).toEqual(['+listeners', '+local_pods', '+link', '+guarded', '+pods', '-pods', '-link']);
    expect(contents()).toMatchObject({ pods: [200n], links: [8n] });
  });

  it('is refused for the node’s own namespace, without addresses, and with an endless UID', () => {
    const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
    expect(() => enrolled.enrol(request('a', { cookie: nodeCookie }))).toThrow(invalid);
    expect(() => enrolled.enrol(request('a', { addresses: [] }))).toThrow(invalid);
    expect(() => enrolled.enrol(request('a', { uid: 'u'.repeat(64) as WorkloadUid }))).toThrow(invalid);
    expect(contents()).toEqual(nothing);
  });

  it('is refused in the namespace of another enrolled pod: it would act under that pod’s name', () => {
    enrolled.enrol(request('a'));
    const before = contents();
    expect(() => enrolled.enrol(request('b'))).toThrow(expect.objectContaining({ code: 'NETNS' }));
    expect(contents()).toEqual(before);
  });
});

describe('a pod that leaves', () => {
  it('stops being captured before its inbound side is taken down', () => {
    enrolled.enrol(request('a'));
    log = [];
    expect(enrolled.unenrol('uid-a' as WorkloadUid)).toBe(true);
    expect(log).toEqual(['-pods', '-guarded', '-link', '-local_pods', '-listeners']);
    expect(contents()).toEqual(nothing);
    expect(enrolled.unenrol('uid-a' as WorkloadUid)).toBe(false);
  });

  it('does not take addresses with it that another pod has got by now', () => {
    enrolled.enrol(request('a'));
    enrolled.enrol(request('b', { cookie: 200n, netns: '/run/netns/8' }));
    enrolled.unenrol('uid-a' as WorkloadUid);
    expect(contents()).toMatchObject({
      pods: [200n],
      localPods: [
        ['10.0.0.1', 2],
        ['fd00::1', 2],
      ],
    });
  });
});

const other = (): number => enrolled.enrol(request('b', { cookie: 200n, netns: '/run/netns/8' }));

describe('an address that two pods have', () => {
  it('is of neither on the kernel path, before the second one is watched', () => {
    enrolled.enrol(request('a'));
    expect(guarded.content.size).toBe(2);
    log = [];
    other();
    expect(log).toEqual(['+listeners', '+local_pods', '-guarded', '+link', '+guarded', '+pods']);
    expect([...guarded.content]).toEqual([]);
  });

  it('is the other’s alone when one of them leaves, whichever it is', () => {
    for (const [leaving, stays] of [['a', 2] as const, ['b', 3] as const]) {
      enrolled.enrol(request('a'));
      other();
      enrolled.unenrol(`uid-${leaving}` as WorkloadUid);
      expect([...guarded.content.values()]).toEqual([stays, stays]);
      expect([...localPods.content.values()]).toEqual([stays, stays]);
    }
  });
});

describe('after a restart', () => {
  it('pods are known as before, and new ones get new ids', () => {
    enrolled.enrol(request('a'));
    const next = new EnrolledPods(deps());
    expect(next.list()).toEqual(enrolled.list().map((pod) => ({ ...pod, netns: undefined })));
    expect(next.enrol(request('a'))).toBe(1);
    expect(next.enrol(request('b', { cookie: 200n, netns: '/run/netns/8' }))).toBe(2);
  });

  it('one that is gone does not take along the link of a pod whose namespace has got its number', () => {
    enrolled.enrol(request('gone'));
    const next = new EnrolledPods(deps());
    const place = { cookie: 200n, addresses: [parseIp('10.0.0.9')] };
    next.enrol(request('b', place));
    next.unenrol('uid-gone' as WorkloadUid);
    expect([...links.keys()]).toEqual([7n]);
    next.enrol(request('b', { ...place, netns: '/run/netns/8' }));
    expect([...links.keys()]).toEqual([8n]);
  });

  it('what belongs to no enrolled pod is swept away, and nothing else', () => {
    enrolled.enrol(request('a'));
    const before = contents();
    links.set(9n, '');
    localPods.content.set(parseIp('10.9.9.9'), 99);
    listeners.content.set(99, 5n);
    const next = new EnrolledPods(deps());
    next.sweep();
    expect(contents()).toEqual(before);
    log = [];
    next.sweep();
    expect(log).toEqual([]);
  });
});
