// What a node asks the API server for, and how it goes on when the server does not.
import { describe, expect, it, jest } from '@jest/globals';
import { nodeFeeds } from '../../../src/kube/api/feed.ts';
import type { NodeName } from '../../../src/model/mesh.ts';
import type { FakeObject } from '../../support/fake-api-objects.ts';
import { apiPaths, type Fault } from '../../support/fake-api-server.ts';
import { ApiRig, namespace, pod, policy, putNamespaces } from './api-rig.ts';
import { until } from './mirror.ts';

jest.setTimeout(60_000);

const times = (count: number, fault: Fault): Fault[] => Array.from({ length: count }, () => fault);

describe('the pods a node asks for', () => {
  it('are its own in every phase, and those of others that can be reached, be it in an init container', async () => {
    await using rig = await ApiRig.started({}, (server) => {
      server.put(apiPaths.pods, pod('own-pending', { node: 'node-a', phase: 'Pending' }));
      server.put(apiPaths.pods, pod('other-running', { node: 'node-b' }));
      server.put(apiPaths.pods, pod('other-initializing', { node: 'node-b', phase: 'Pending' }));
      server.put(apiPaths.pods, pod('other-without-address', { node: 'node-b', phase: 'Pending', ip: '' }));
      server.put(apiPaths.pods, pod('other-ended', { node: 'node-b', phase: 'Succeeded' }));
      server.put(apiPaths.pods, pod('unscheduled', { phase: 'Pending' }));
    });
    expect(rig.mirror.keys).toEqual([
      'Pod/shop/other-initializing',
      'Pod/shop/other-running',
      'Pod/shop/own-pending',
    ]);
  });

  it('are kept without what nobody reads', async () => {
    await using rig = await ApiRig.started({}, (server) =>
      server.put(apiPaths.pods, pod('web', { node: 'node-a' })),
    );
    const [kept] = rig.mirror.objects.values();
    expect(kept?.object).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'shop', uid: 'web', annotations: {} },
      spec: { nodeName: 'node-a', serviceAccountName: 'web', containers: [] },
      status: { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }] },
    });
  });

  it('are no news when only what nobody reads has changed', async () => {
    await using rig = await ApiRig.started({}, (server) =>
      server.put(apiPaths.pods, pod('web', { node: 'node-a' })),
    );
    rig.server.put(apiPaths.pods, { ...pod('web', { node: 'node-a' }), spare: 1 });
    rig.server.put(apiPaths.pods, pod('api', { node: 'node-a' }));
    await until(() => rig.mirror.keys.includes('Pod/shop/api'));
    expect(rig.mirror.changes.flatMap(({ set }) => set.map(({ object }) => object.metadata.name))).toEqual([
      'web',
      'api',
    ]);
  });

  it('include a successor on another node, whichever is heard first, its birth or the old one’s end', async () => {
    await using rig = await ApiRig.started({}, (server) =>
      server.put(apiPaths.pods, pod('db-0', { node: 'node-a', uid: 'old' })),
    );
    const uids = (): readonly (string | undefined)[] =>
      [...rig.mirror.objects.values()].map(({ object }) => object.metadata.uid);
    // The own feed is cut and hears of the end only when it is back.
    rig.server.fail('watch', { type: 'status', code: 500 }, { type: 'status', code: 500 });
    rig.server.cutWatches();
    rig.server.remove(apiPaths.pods, 'db-0', 'shop');
    rig.server.put(apiPaths.pods, pod('db-0', { node: 'node-b', uid: 'new' }));
    await until(() => uids().join() === 'new');
    await until(() => rig.source.status().state === 'live');
    expect(uids()).toEqual(['new']);
  });
});

describe('of namespaces and its own node, a node', () => {
  it('asks for metadata only', async () => {
    await using rig = await ApiRig.started({}, (server) => {
      server.put(apiPaths.nodes, {
        metadata: { name: 'node-a', labels: { zone: 'z' } },
        status: { images: [] },
      });
      server.put(apiPaths.nodes, { metadata: { name: 'node-b' } });
      putNamespaces(server, 'shop');
    });
    expect(rig.mirror.keys).toEqual(['Namespace//shop', 'Node//node-a']);
  });
});

describe('one connection', () => {
  it('carries all watches over HTTP/2', async () => {
    await using rig = await ApiRig.started();
    // One of them of the definition of a kind that is missing.
    await until(() => rig.server.watching === 8);
    expect(rig.server.connections).toBe(1);
  });

  it('is made again when it breaks, and the watches resume where they were', async () => {
    await using rig = await ApiRig.started({}, (server) => putNamespaces(server, 'a'));
    rig.server.cutConnections();
    putNamespaces(rig.server, 'b');
    await until(() => rig.mirror.keys.length === 2);
    const streamed = rig.server
      .requestsFor(apiPaths.namespaces)
      .filter(({ query }) => query.has('sendInitialEvents'));
    expect(streamed.length).toBe(1);
  });

  it('waits for a server that is away, and goes on when it is back', async () => {
    await using rig = await ApiRig.started({}, (server) => putNamespaces(server, 'a', 'b'));
    const { port } = rig.server;
    await rig.server.close();
    const said = (): string =>
      rig.source
        .status()
        .conditions.map(({ error }) => error.message)
        .join();
    await until(() => said().includes('cannot be reached'), said);
    expect(rig.source.status()).toMatchObject({ state: 'stale' });
    rig.server.remove(apiPaths.namespaces, 'a');
    await rig.server.listen(port);
    await until(() => rig.mirror.keys.join() === 'Namespace//b');
    await until(() => rig.source.status().state === 'live');
    expect(rig.logged.filter((line) => line.includes('followed again')).length).toBeGreaterThan(0);
  });
});

describe('a list', () => {
  it('comes in pages from a server that does not stream it', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    await using rig = await ApiRig.started({ streamsLists: false }, (server) =>
      putNamespaces(server, ...names),
    );
    expect(rig.mirror.keys).toEqual(names.map((name) => `Namespace//${name}`));
    expect(rig.server.requestsFor(apiPaths.namespaces, 'list').length).toBe(3);
  });

  it('is begun again when its continuation is too old', async () => {
    await using rig = await ApiRig.open({ streamsLists: false });
    putNamespaces(rig.server, 'a', 'b', 'c', 'd');
    const started = rig.source.start(rig.mirror);
    await until(() => rig.server.requestsFor(apiPaths.namespaces, 'list').length === 1);
    rig.server.forget();
    await started;
    expect(rig.mirror.keys.length).toBe(4);
  });

  it('is asked for in smaller pages when a page is too long', async () => {
    await using rig = await ApiRig.open({ streamsLists: false });
    for (const name of ['a', 'b', 'c']) {
      rig.server.put(apiPaths.namespaces, { ...namespace(name), ballast: 'x'.repeat(400_000) });
    }
    await rig.source.start(rig.mirror);
    expect(rig.mirror.keys.length).toBe(3);
  });

  it('that is cut removes nothing, and is read again', async () => {
    await using rig = await ApiRig.started({}, (server) => putNamespaces(server, 'a', 'b'));
    rig.server.fail('watch', { type: 'cut' }, { type: 'cut' }, { type: 'cut' });
    rig.server.forget();
    rig.server.expireWatches();
    rig.server.remove(apiPaths.namespaces, 'a');
    await until(() => rig.mirror.keys.join() === 'Namespace//b');
    expect(rig.mirror.changes.flatMap(({ deleted }) => deleted)).toEqual(['Namespace//a']);
  });
});

describe('a watch', () => {
  const faults: readonly (readonly [string, Fault])[] = [
    ['is refused with 500', { type: 'status', code: 500 }],
    ['is refused with 429 and a time to wait', { type: 'status', code: 429, retryAfter: '0' }],
    ['is refused with 410', { type: 'status', code: 410 }],
    ['is refused with 401', { type: 'status', code: 401 }],
    ['is refused with 403', { type: 'status', code: 403 }],
    ['brings garbage', { type: 'garbage' }],
    ['is cut in the middle of an event', { type: 'cut' }],
    ['brings a line without end', { type: 'oversized', bytes: 200_000 }],
    ['brings nothing at all', { type: 'silence' }],
  ];

  it.each(faults)('that %s is tried again, and nothing is lost', async (_name, fault) => {
    await using rig = await ApiRig.started({}, (server) => putNamespaces(server, 'a', 'b'));
    rig.server.fail('watch', ...times(8, fault));
    rig.server.cutWatches();
    putNamespaces(rig.server, 'c');
    rig.server.remove(apiPaths.namespaces, 'a');
    await until(
      () => rig.mirror.keys.join() === 'Namespace//b,Namespace//c',
      () => rig.logged,
    );
    await until(
      () => rig.source.status().state === 'live',
      () => rig.source.status(),
    );
  });

  it('whose version was forgotten meanwhile, said by an event, reads everything again', async () => {
    await using rig = await ApiRig.started({}, (server) => putNamespaces(server, 'a'));
    rig.server.expireWatches();
    putNamespaces(rig.server, 'b');
    await until(() => rig.mirror.keys.length === 2);
  });

  it('keeps its place by bookmarks: what is forgotten before them is not missed', async () => {
    await using rig = await ApiRig.started({}, (server) => putNamespaces(server, 'a'));
    for (let i = 0; i < 5; i++)
      rig.server.put(apiPaths.pods, pod('web', { node: 'node-b', ip: `10.0.0.${i + 1}` }));
    rig.server.forget();
    rig.server.bookmark();
    const before = rig.server.requestsFor(apiPaths.namespaces, 'watch').length;
    await until(() => (rig.source.status().lastEventAt ?? 0) > 0);
    putNamespaces(rig.server, 'b');
    await until(() => rig.mirror.keys.includes('Namespace//b'));
    rig.server.cutWatches();
    await until(() => rig.server.requestsFor(apiPaths.namespaces, 'watch').length > before);
    const last = rig.server.requestsFor(apiPaths.namespaces, 'watch').at(-1);
    expect(last?.query.get('resourceVersion')).not.toBeNull();
  });

  it('that fails a hundred times is not tried in a hurry, and logged once', async () => {
    await using rig = await ApiRig.started({}, (server) => putNamespaces(server, 'a'));
    rig.logged.length = 0;
    rig.server.fail('watch', ...times(140, { type: 'status', code: 500 }));
    rig.server.cutWatches();
    putNamespaces(rig.server, 'b');
    await until(() => rig.mirror.keys.length === 2);
    await until(() => rig.source.status().state === 'live');
    const warnings = rig.logged.filter((line) => line.includes('answered 500'));
    expect(warnings.length).toBeGreaterThan(0);
    expect(warnings.length).toBeLessThanOrEqual(nodeFeeds('node-a' as NodeName).length);
  });
});

describe('an API server that was restored from an old backup', () => {
  it('is noticed by its version, and everything is read again', async () => {
    await using rig = await ApiRig.started({}, (server) => putNamespaces(server, 'a'));
    const backup = rig.server.restore();
    putNamespaces(rig.server, 'b', 'c', 'd');
    await until(() => rig.mirror.keys.length === 4);
    backup.back();
    await until(
      () => rig.mirror.keys.join() === 'Namespace//a',
      () => rig.mirror.keys,
    );
  });

  it('is noticed too when it was away for a while', async () => {
    await using rig = await ApiRig.started({}, (server) => putNamespaces(server, 'a'));
    const backup = rig.server.restore();
    const { port } = rig.server;
    putNamespaces(rig.server, 'b', 'c', 'd');
    await until(() => rig.mirror.keys.length === 4);
    await rig.server.close();
    backup.back();
    await until(() => rig.logged.filter((line) => line.includes('cannot be reached')).length >= 7);
    await rig.server.listen(port);
    await until(() => rig.mirror.keys.join() === 'Namespace//a');
    await until(() => rig.source.status().state === 'live');
  });
});

describe('a missing permission', () => {
  it('is named with verb, resource and service account', async () => {
    await using rig = await ApiRig.open({ streamsLists: false });
    const message =
      'namespaces is forbidden: User "system:serviceaccount:mesh:node" cannot list resource "namespaces"';
    rig.server.fail('list', ...times(200, { type: 'status', code: 403, message }));
    void rig.source.start(rig.mirror);
    const named = (): string =>
      rig.source
        .status()
        .conditions.map(({ subject, error }) => `${subject}: ${error.code} ${error.message}`)
        .join('\n');
    await until(() => named().includes('namespaces:'));
    expect(named()).toContain('namespaces: API_FORBIDDEN service account mesh/node may not list namespaces');
    expect(rig.source.status().state).toBe('starting');
  });
});

describe('a source that is stopped before the server answered', () => {
  it('does not let its user wait for ever', async () => {
    await using rig = await ApiRig.open();
    await rig.server.close();
    const started = rig.source.start(rig.mirror);
    rig.source.stop();
    await expect(started).rejects.toThrow(/stopped before/);
    await rig.server.listen(0);
  });
});

const kept = (name: string, team = 'x') => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { team } },
});

describe('what an earlier process knew last', () => {
  const lastGood = {
    objects: [kept('a'), kept('gone'), { kind: 'Nonsense' }],
    writtenAt: Date.now() - 90_000,
  };

  it('is reported at once, without a server, and with its age', async () => {
    await using rig = await ApiRig.open({ lastGood });
    const { port } = rig.server;
    await rig.server.close();
    await rig.source.start(rig.mirror);
    expect(rig.mirror.keys).toEqual(['Namespace//a', 'Namespace//gone']);
    expect(rig.source.status().state).toBe('stale');
    expect(rig.source.status().conditions[0]?.error.message).toMatch(/knew \d+ s ago/);
    await rig.server.listen(port);
  });

  it('gives way to what the server has, kind by kind, and nothing flaps', async () => {
    await using rig = await ApiRig.open({ lastGood, streamsLists: false });
    rig.server.put(apiPaths.namespaces, { metadata: { name: 'a', labels: { team: 'x' } } });
    for (const name of ['b', 'c', 'd', 'e']) putNamespaces(rig.server, name);
    // Only one kind is to be read; the others wait.
    await rig.source.start(rig.mirror);
    await until(() => rig.source.status().state === 'live');
    await until(() => rig.mirror.keys.length === 5);
    expect(rig.source.status().conditions).toEqual([]);
    const deleted = rig.mirror.changes.flatMap((change) => change.deleted);
    const set = rig.mirror.changes
      .slice(1)
      .flatMap((change) => change.set.map(({ object }) => object.metadata.name));
    expect([deleted, set.toSorted()]).toEqual([['Namespace//gone'], ['b', 'c', 'd', 'e']]);
  });
});

describe('how far policies were read', () => {
  it('is the API server’s version of the last event, and changes of objects are told from those of a status', async () => {
    await using rig = await ApiRig.started({}, (server) => server.put(apiPaths.policies, policy('p')));
    const progress = () => rig.source.progress(['AuthorizationPolicy', 'PeerAuthentication']);
    const [first] = progress();
    expect(progress().map(({ kind }) => kind)).toEqual(['AuthorizationPolicy', 'PeerAuthentication']);
    const stored = (): FakeObject => rig.server.objectsAt(apiPaths.policies)[0] as FakeObject;
    const version = (): string => String(stored().metadata['resourceVersion']);
    expect(BigInt(first?.version ?? '0')).toBeGreaterThanOrEqual(BigInt(version()));

    rig.server.put(apiPaths.policies, { ...stored(), status: { conditions: [] } });
    await until(() => progress()[0]?.version === version());
    expect(progress()[0]?.revision).toBe(first?.revision);

    rig.server.put(apiPaths.policies, { ...stored(), spec: { action: 'AUDIT', rules: [{}] } });
    await until(() => progress()[0]?.version === version());
    expect(progress()[0]?.revision).not.toBe(first?.revision);
    // What is read is in force: nothing of it waits for the next batch.
    const [inForce] = [...rig.mirror.objects.values()].filter(
      ({ object }) => object.kind === 'AuthorizationPolicy',
    );
    expect(inForce?.object).toMatchObject({ spec: { action: 'AUDIT' } });

    const before = progress()[0]?.revision;
    rig.server.put(apiPaths.policies, { ...stored(), spec: { action: 'PERMIT' } });
    await until(() => progress()[0]?.version === version());
    expect(progress()[0]?.revision).not.toBe(before);
  });
});
