/** When the status of policies is written, and when not: everybody who watches policies hears of each write. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { acceptedType, programmedType } from '../../../../src/controller/policy-status/conditions.ts';
import { NodeProgress } from '../../../../src/controller/policy-status/node-progress.ts';
import { PolicyBook } from '../../../../src/controller/policy-status/policy-book.ts';
import type { Condition } from '../../../../src/controller/policy-status/record.ts';
import { StatusWriter } from '../../../../src/controller/policy-status/status-writer.ts';
import type { KubeRequest } from '../../../../src/kube/client/kube-client.ts';
import { type KubeObject, objectKey, type SourcedObject } from '../../../../src/kube/objects.ts';
import type { NodeName } from '../../../../src/model/mesh.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { meshOf } from '../../../support/mesh-builder.ts';

const node = (name: string): NodeName => name as NodeName;

interface Body {
  readonly metadata: { readonly resourceVersion: string };
  readonly status: { readonly conditions: readonly Condition[] };
}

/** An API server with policies, and the writer before it. */
class Rig {
  readonly clock = new FakeClock();
  readonly requests: { readonly path: string; readonly conditions: readonly Condition[] }[] = [];
  readonly objects = new Map<string, Record<string, unknown>>();
  nodes = new Set([node('a'), node('b')]);
  leads = true;
  refuse: (request: KubeRequest) => MeshError | undefined = () => undefined;
  readonly progress = new NodeProgress(() => this.nodes);
  readonly book = new PolicyBook(meshOf({}).view.config, this.progress, (key) => this.writer.look(key));
  readonly writer = new StatusWriter({
    client: { request: async (request) => this.#answer(request) },
    clock: this.clock,
    log: silentLogger,
    leading: () => this.leads,
    book: this.book,
    nodes: () => this.nodes.size,
  });
  #version = 100;

  /** As somebody applies it. */
  apply(
    name: string,
    generation: number,
    spec: unknown = { rules: [{}] },
    kind = 'AuthorizationPolicy',
  ): void {
    const known = this.objects.get(name);
    this.#store(name, {
      apiVersion: kind === 'NamespaceAccess' ? 'mesh-ebpf.io/v1alpha1' : 'security.istio.io/v1',
      kind,
      metadata: { namespace: 'shop', name, uid: `uid-${name}`, generation },
      spec,
      status: known?.['status'] ?? {},
    });
    this.tell(name);
  }

  /** As the watch tells it. */
  tell(name: string): void {
    this.book.changed({ set: [this.#sourced(name)], deleted: [] });
  }

  remove(name: string): void {
    const { object } = this.#sourced(name);
    this.objects.delete(name);
    this.book.changed({ set: [], deleted: [objectKey(object)] });
  }

  report(name: string, version = this.#version): void {
    this.progress.report(node(name), new Map([['AuthorizationPolicy', BigInt(version)]]));
  }

  condition(name: string, type: string): Condition | undefined {
    const status = this.objects.get(name)?.['status'] as Partial<Body['status']> | undefined;
    return status?.conditions?.find((each) => each.type === type);
  }

  /** Somebody writes a status of his own. */
  overwrite(name: string, conditions: readonly Condition[]): void {
    this.#store(name, { ...this.objects.get(name), status: { conditions } });
    this.tell(name);
  }

  #sourced(name: string): SourcedObject {
    return { object: this.objects.get(name) as unknown as KubeObject, position: undefined };
  }

  #store(name: string, object: Record<string, unknown>): Record<string, unknown> {
    const metadata = { ...(object['metadata'] as object), resourceVersion: String(++this.#version) };
    const stored = { ...object, metadata };
    this.objects.set(name, stored);
    return stored;
  }

  #answer(request: KubeRequest): unknown {
    const refusal = this.refuse(request);
    if (refusal !== undefined) throw refusal;
    const name = request.path.split('/').at(-2) ?? '';
    const body = request.body as Body;
    const known = this.objects.get(name);
    if (known === undefined) throw new MeshError('NOT_FOUND', `${name} not found`);
    const { resourceVersion } = known['metadata'] as Body['metadata'];
    if (resourceVersion !== body.metadata.resourceVersion) throw new MeshError('CONFLICT', 'changed');
    this.requests.push({ path: request.path, conditions: body.status.conditions });
    return this.#store(name, { ...known, status: body.status });
  }
}

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.writer.stop());

describe('a policy', () => {
  it('gets its status within a second or two, and once more when every node runs it', async () => {
    rig.apply('p', 1);
    await rig.clock.advance(1_000);
    expect(rig.requests.map(({ path }) => path)).toEqual([
      '/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/p/status',
    ]);
    expect(rig.condition('p', acceptedType)).toMatchObject({ status: 'True', observedGeneration: 1 });
    expect(rig.condition('p', programmedType)).toMatchObject({ status: 'Unknown', reason: 'Pending' });
    rig.report('a');
    rig.report('b');
    await rig.clock.advance(2_000);
    expect(rig.condition('p', programmedType)).toMatchObject({ status: 'True', observedGeneration: 1 });
    await rig.clock.advance(600_000);
    expect(rig.requests).toHaveLength(2);
  });

  it('is not written again when nodes come, go or fall silent after all ran it', async () => {
    rig.report('a');
    rig.report('b');
    rig.apply('p', 1);
    rig.report('a');
    rig.report('b');
    await rig.clock.advance(5_000);
    const before = rig.requests.length;
    rig.nodes.add(node('c'));
    rig.progress.nodesChanged([]);
    rig.tell('p');
    await rig.clock.advance(60_000);
    expect(rig.requests).toHaveLength(before);
  });

  it('says how far nodes are at most every ten seconds', async () => {
    rig.nodes = new Set(Array.from({ length: 100 }, (_, i) => node(`n${i}`)));
    rig.apply('p', 1);
    for (const name of rig.nodes) {
      rig.report(name);
      await rig.clock.advance(500);
    }
    await rig.clock.advance(2_000);
    expect(rig.condition('p', programmedType)).toMatchObject({ message: 'all 100 nodes run generation 1' });
    expect(rig.requests.length).toBeGreaterThan(3);
    expect(rig.requests.length).toBeLessThan(9);
  });

  it('that all nodes run says so at once, though it was said a moment ago that they do not yet', async () => {
    rig.apply('p', 1);
    rig.report('a', 0);
    rig.report('b', 0);
    await rig.clock.advance(1_100);
    rig.report('a');
    await rig.clock.advance(1_100);
    expect(rig.condition('p', programmedType)).toMatchObject({ status: 'False', reason: 'Progressing' });
    rig.report('b');
    await rig.clock.advance(2_100);
    expect(rig.condition('p', programmedType)).toMatchObject({ status: 'True', observedGeneration: 1 });
  });

  it('that goes wrong in the middle of its progress says so at once', async () => {
    rig.apply('p', 1);
    rig.report('a', 0);
    await rig.clock.advance(1_100);
    rig.apply('p', 2, { action: 'DENY' });
    await rig.clock.advance(1_100);
    expect(rig.condition('p', programmedType)).toMatchObject({
      reason: 'NotAccepted',
      observedGeneration: 2,
    });
  });

  it('that all nodes run says so at once, though somebody kept taking its status away before', async () => {
    rig.apply('p', 1);
    rig.report('a', 0);
    for (let i = 0; i < 300; i++) {
      if (rig.condition('p', acceptedType) !== undefined) rig.overwrite('p', []);
      await rig.clock.advance(1_000);
    }
    expect(rig.condition('p', acceptedType)).toBeUndefined();
    rig.report('a', 1_000_000);
    rig.report('b', 1_000_000);
    await rig.clock.advance(2_100);
    expect(rig.condition('p', programmedType)).toMatchObject({ status: 'True' });
  });

  it('that is edited says so at once: accepted or not, and of which generation', async () => {
    rig.apply('p', 1);
    await rig.clock.advance(1_000);
    rig.apply('p', 2, { action: 'DENY' });
    await rig.clock.advance(1_000);
    expect(rig.condition('p', acceptedType)).toMatchObject({ status: 'False', observedGeneration: 2 });
    expect(rig.condition('p', programmedType)).toMatchObject({
      reason: 'NotAccepted',
      observedGeneration: 2,
    });
  });

  it('that is deleted while its status waits is no trouble', async () => {
    rig.apply('p', 1);
    rig.remove('p');
    await rig.clock.advance(5_000);
    expect([rig.requests, rig.writer.failures]).toEqual([[], []]);
  });
});

describe('somebody else who writes the status', () => {
  const istiod: Condition = { type: 'ZtunnelAccepted', status: 'True', reason: 'Accepted' };

  it('and keeps ours is left alone', async () => {
    rig.apply('p', 1);
    await rig.clock.advance(1_000);
    rig.overwrite('p', [istiod, ...(rig.requests[0]?.conditions ?? [])]);
    await rig.clock.advance(60_000);
    expect(rig.requests).toHaveLength(1);
    expect(rig.condition('p', istiod.type)).toEqual(istiod);
  });

  it('and takes ours away is not fought: it comes back after half a minute, later and later', async () => {
    rig.apply('p', 1);
    await rig.clock.advance(1_000);
    for (let i = 0; i < 3600; i++) {
      if (rig.condition('p', acceptedType) !== undefined) rig.overwrite('p', [istiod]);
      await rig.clock.advance(1_000);
    }
    expect(rig.requests.length).toBeGreaterThan(3);
    expect(rig.requests.length).toBeLessThan(10);
  });

  it('in the same moment is no trouble: it is looked at again', async () => {
    rig.refuse = () => new MeshError('CONFLICT', 'changed');
    rig.apply('p', 1);
    await rig.clock.advance(3_000);
    rig.refuse = () => undefined;
    await rig.clock.advance(2_000);
    expect(rig.condition('p', acceptedType)).toMatchObject({ status: 'True' });
    expect(rig.writer.failures).toEqual([]);
  });
});

describe('a replica that does not lead', () => {
  it('writes nothing, and everything that is missing once it leads', async () => {
    rig.leads = false;
    rig.apply('p', 1);
    rig.apply('q', 1);
    await rig.clock.advance(60_000);
    expect(rig.requests).toEqual([]);
    rig.leads = true;
    await rig.clock.advance(2_000);
    expect(rig.requests).toHaveLength(2);
  });
});

describe('when it cannot be written', () => {
  it('because a permission is missing, that is a failure by name; other kinds are written, and later all', async () => {
    const forbidden = new MeshError('API_FORBIDDEN', 'may not patch authorizationpolicies/status');
    rig.refuse = ({ path }) => (path.includes('authorizationpolicies') ? forbidden : undefined);
    for (let i = 0; i < 20; i++) rig.apply(`p${i}`, 1);
    rig.apply('access', 1, { egress: { default: 'Deny' } }, 'NamespaceAccess');
    await rig.clock.advance(5_000);
    expect(rig.writer.failures).toMatchObject([{ error: forbidden }]);
    expect(rig.condition('access', acceptedType)).toMatchObject({ status: 'True' });
    rig.refuse = () => undefined;
    await rig.clock.advance(60_000);
    expect(rig.writer.failures).toEqual([]);
    expect(rig.requests.length).toBeGreaterThanOrEqual(21);
  });

  it('because the kind has no status, the failure says what to do', async () => {
    rig.refuse = () => new MeshError('NOT_FOUND', 'the server could not find the requested resource');
    rig.apply('access', 1, { egress: { default: 'Deny' } }, 'NamespaceAccess');
    await rig.clock.advance(2_000);
    expect(rig.writer.failures).toMatchObject([
      {
        error: {
          code: 'UNSUPPORTED',
          message: expect.stringContaining('NamespaceAccess'),
          hint: expect.any(String),
        },
      },
    ]);
  });

  it('because the API server is away, it is tried more and more seldom, and done when it is back', async () => {
    let tries = 0;
    rig.refuse = () => {
      tries += 1;
      return new MeshError('UNAVAILABLE', 'away');
    };
    rig.apply('p', 1);
    await rig.clock.advance(600_000);
    expect(tries).toBeLessThan(30);
    rig.refuse = () => undefined;
    await rig.clock.advance(60_000);
    expect(rig.condition('p', acceptedType)).toMatchObject({ status: 'True' });
    expect(rig.writer.failures).toEqual([]);
  });
});

describe('ten thousand policies', () => {
  it('are written one after the other, slower with more nodes', async () => {
    rig.nodes = new Set(Array.from({ length: 5000 }, (_, i) => node(`n${i}`)));
    for (let i = 0; i < 1000; i++) rig.apply(`p${i}`, 1);
    await rig.clock.advance(60_000);
    expect(rig.requests.length).toBeGreaterThan(100);
    expect(rig.requests.length).toBeLessThan(125);
  });
});
