// How a node goes on without a kind that the API server does not know, and how it learns that it came.
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, jest } from '@jest/globals';
import type { FakeObject } from '../../support/fake-api-objects.ts';
import { apiPaths } from '../../support/fake-api-server.ts';
import { ApiRig, policy } from './api-rig.ts';
import { until } from './mirror.ts';

jest.setTimeout(60_000);

const definition: FakeObject = { metadata: { name: 'authorizationpolicies.security.istio.io' } };

describe('a kind that is not installed', () => {
  const beta = apiPaths.policies.replace('/v1/', '/v1beta1/');

  it('counts as none of its objects, said once', async () => {
    await using rig = await ApiRig.started({ absent: [apiPaths.policies, beta] });
    // As Istio's of years ago, which served other versions.
    rig.server.put(apiPaths.definitions, definition);
    await until(() => rig.server.requestsFor(apiPaths.policies).length > 3);
    expect(rig.source.status()).toMatchObject({ state: 'live', conditions: [] });
    expect(rig.logged.filter((line) => line.includes('does not know authorizationpolicies')).length).toBe(1);
  });

  it('is followed from when it is', async () => {
    await using rig = await ApiRig.started({ absent: [apiPaths.policies, beta] });
    rig.server.absent.delete(apiPaths.policies);
    rig.server.put(apiPaths.policies, policy('p'));
    await until(() => rig.mirror.keys.includes('AuthorizationPolicy/shop/p'));
  });

  it('is noticed by its definition, which is watched by name: nothing is asked until it comes', async () => {
    const absent = [apiPaths.policies, beta];
    await using rig = await ApiRig.started({ absent, reflector: { absentRetryMs: 3_600_000 } });
    const named = (): number =>
      rig.server
        .requestsFor(apiPaths.definitions, 'watch')
        .filter(({ query }) => query.get('fieldSelector') === `metadata.name=${definition.metadata.name}`)
        .length;
    await until(() => named() === 1);
    const asked = rig.server.requestsFor(apiPaths.policies).length;
    await delay(200);
    expect([rig.server.requestsFor(apiPaths.policies).length, named()]).toEqual([asked, 1]);
    rig.server.put(apiPaths.definitions, definition);
    // It is served some moments after it was taken.
    await until(() => rig.server.requestsFor(apiPaths.policies).length > asked);
    rig.server.absent.delete(apiPaths.policies);
    rig.server.put(apiPaths.policies, policy('p'));
    await until(() => rig.mirror.keys.includes('AuthorizationPolicy/shop/p'));
  });

  it('is looked for again whenever its definition changes: it may name another version now', async () => {
    const absent = [apiPaths.policies, beta];
    await using rig = await ApiRig.started({ absent, reflector: { absentRetryMs: 3_600_000 } }, (server) =>
      server.put(apiPaths.definitions, definition),
    );
    const looks = (): number => rig.server.requestsFor(beta).length;
    await until(() => looks() === 5);
    await delay(200);
    expect(looks()).toBe(5);
    rig.server.absent.delete(apiPaths.policies);
    rig.server.put(apiPaths.policies, policy('p'));
    rig.server.put(apiPaths.definitions, { ...definition, spec: {} });
    await until(() => rig.mirror.keys.includes('AuthorizationPolicy/shop/p'));
  });

  it('is looked for now and then where its definition may not be watched, which is said once', async () => {
    await using rig = await ApiRig.open({ absent: [apiPaths.policies, beta] });
    rig.server.forbidden.add(apiPaths.definitions);
    await rig.source.start(rig.mirror);
    await until(() => rig.server.requestsFor(apiPaths.definitions).length > 3);
    expect(rig.source.status().conditions).toEqual([]);
    rig.server.absent.delete(apiPaths.policies);
    rig.server.put(apiPaths.policies, policy('p'));
    await until(() => rig.mirror.keys.includes('AuthorizationPolicy/shop/p'));
    // For each kind that is missing: the policies, and NamespaceAccess.
    expect(rig.logged.filter((line) => line.includes('a kind will be noticed late')).length).toBe(2);
  });

  it('and was before keeps its objects in force for a while: a starting server may not know it yet', async () => {
    await using rig = await ApiRig.started({}, (server) => server.put(apiPaths.policies, policy('p')));
    rig.server.absent.add(apiPaths.policies);
    rig.server.absent.add(beta);
    rig.server.cutWatches();
    await until(() => rig.source.status().conditions.length > 0);
    expect(rig.mirror.keys).toEqual(['AuthorizationPolicy/shop/p']);
    await until(() => rig.mirror.keys.length === 0);
    await until(() => rig.source.status().state === 'live');
    // That policies are in force no longer is said for as long as it is so.
    expect(rig.source.status().conditions).toEqual([
      expect.objectContaining({
        subject: 'authorization policies',
        error: expect.objectContaining({ message: expect.stringContaining('1 that were in force') }),
      }),
    ]);
    rig.server.absent.clear();
    await until(() => rig.mirror.keys.length === 1);
    expect(rig.source.status().conditions).toEqual([]);
  });
});
