import { describe, expect, it } from '@jest/globals';
import { parseIp } from '../../../src/base/ip.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { MeshSource } from '../../../src/kube/mesh-source.ts';
import { parseManifests } from '../../../src/kube/parse-manifests.ts';
import { formatProblem } from '../../../src/kube/problem.ts';
import { type ObjectKey, objectKey, type SourcedObject } from '../../../src/kube/objects.ts';
import type { ObjectSink, ObjectSource, SourceStatus } from '../../../src/kube/source.ts';
import { MeshStore } from '../../../src/model/store.ts';
import { meshConfig } from '../../support/mesh-builder.ts';
import { changeBetween } from './support.ts';

/** A source that reports what the test tells it to. */
class ManualSource implements ObjectSource {
  isStopped = false;
  emit: (text: string) => void = () => {};
  #known: ReadonlyMap<ObjectKey, SourcedObject> = new Map();

  start(sink: ObjectSink): Promise<void> {
    this.emit = (text) => {
      const { objects, errors } = parseManifests([{ path: 'm.yaml', text }], { strict: true });
      sink.faulty(errors);
      sink.changed(changeBetween(this.#known, objects));
      this.#known = new Map(objects.map((sourced) => [objectKey(sourced.object), sourced]));
    };
    this.emit(pod('10.0.0.1'));
    return Promise.resolve();
  }

  status(): SourceStatus {
    return { name: 'manual', state: 'live', lastEventAt: undefined, conditions: [] };
  }

  stop(): void {
    this.isStopped = true;
  }
}

const pod = (ip: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {nodeName: n, containers: [{name: c}]}, status: {podIP: "${ip}"}}`;

async function started() {
  const source = new ManualSource();
  const logged: string[] = [];
  const log = {
    ...silentLogger,
    warn: (_: unknown, message: string) => void logged.push(message),
    info: (_: unknown, message: string) => void logged.push(message),
  };
  const store = new MeshStore({ log }, meshConfig);
  const mesh = new MeshSource({ source, store, log }, meshConfig);
  await mesh.start();
  return { source, store, mesh, logged };
}

describe('the mesh source', () => {
  it('has filled the store when it has started', async () => {
    const { store } = await started();
    expect(store.view.workloadByIp(parseIp('10.0.0.1'))?.name).toBe('web');
  });

  it('lists what the source and what translation found wrong, and logs each once', async () => {
    const { source, mesh, logged } = await started();
    const faulty = `${pod('10.0.0.x')}\n---\nkind: Nonsense\napiVersion: v1`;
    source.emit(faulty);
    source.emit(faulty);
    expect(mesh.problems.map(formatProblem)).toEqual([
      expect.stringMatching(/^m\.yaml:3:7: kind: unknown kind "Nonsense"/),
      expect.stringMatching(/^m\.yaml:1:1: pod\/default\/web: status\.podIPs: /),
    ]);
    expect(logged.toSorted()).toEqual(mesh.problems.map(formatProblem).toSorted());
  });

  it('says when everything is in order again', async () => {
    const { source, mesh, logged } = await started();
    source.emit('kind: Nonsense\napiVersion: v1');
    source.emit(pod('10.0.0.2'));
    expect(mesh.problems).toEqual([]);
    expect(logged.at(-1)).toBe('all objects are in order again');
  });

  it('stops its source', async () => {
    const { source, mesh } = await started();
    mesh.stop();
    expect(source.isStopped).toBe(true);
  });
});
