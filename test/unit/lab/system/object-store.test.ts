/** The directory that is the lab's API server, in a scratch directory. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { labLayout } from '../../../../src/lab/layout.ts';
import type { LabLayout } from '../../../../src/lab/layout.ts';
import { ObjectStore } from '../../../../src/lab/system/object-store.ts';
import { objectsOf, pod } from '../objects.ts';

let layout: LabLayout;

beforeEach(() => {
  layout = labLayout(mkdtempSync(join(tmpdir(), 'mesh-lab-store-')));
  mkdirSync(layout.objects);
});

afterEach(() => rmSync(layout.stateDir, { recursive: true }));

const rename = (store: ObjectStore, label: string): Promise<void> =>
  store.update((objects) => {
    const before = objects.get('Pod/shop/web')?.metadata.labels ?? {};
    return { write: [pod({ labels: { ...before, [label]: 'x' } })], remove: [] };
  });

describe('the object store', () => {
  it('gives back what was written, to every reader', async () => {
    const store = new ObjectStore(layout);
    await store.update(() => ({ write: [pod({ ips: ['10.244.1.2'] })], remove: [] }));
    expect(new ObjectStore(layout).read()).toEqual(objectsOf(pod({ ips: ['10.244.1.2'] })));
    expect(store.read()).toEqual(objectsOf(pod({ ips: ['10.244.1.2'] })));
  });

  it('sees changes that another process made', async () => {
    const [one, other] = [new ObjectStore(layout), new ObjectStore(layout)];
    await one.update(() => ({ write: [pod()], remove: [] }));
    expect(other.read().size).toBe(1);
    await one.update(() => ({ write: [pod({ ready: false })], remove: [] }));
    expect([...other.read().values()]).toEqual([pod({ ready: false })]);
    await one.update((objects) => ({ write: [], remove: [...objects.values()] }));
    expect(other.read().size).toBe(0);
  });

  it('loses no change when many write at once', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => rename(new ObjectStore(layout), `l${i}`)));
    const labels = new ObjectStore(layout).read().get('Pod/shop/web')?.metadata.labels ?? {};
    expect(Object.keys(labels)).toHaveLength(20);
  });

  it('takes over from a writer that died', async () => {
    writeFileSync(layout.lock, JSON.stringify({ pid: 4_194_303, startTime: '1' }));
    await new ObjectStore(layout).update(() => ({ write: [pod()], remove: [] }));
    expect(readdirSync(layout.stateDir)).not.toContain('lock');
  });

  it('changes nothing when the change throws, and lets go of the lock', async () => {
    const store = new ObjectStore(layout);
    const refused = store.update(() => {
      throw new Error('no');
    });
    await expect(refused).rejects.toThrow('no');
    await store.update(() => ({ write: [pod()], remove: [] }));
    expect(readdirSync(layout.objects)).toEqual(['pod_shop_web.yaml']);
  });

  it('leaves out a file that nobody can read, and keeps the others', async () => {
    const store = new ObjectStore(layout);
    await store.update(() => ({ write: [pod()], remove: [] }));
    writeFileSync(join(layout.objects, 'broken.yaml'), '{');
    expect(store.read().size).toBe(1);
  });
});
