import { describe, expect, it } from '@jest/globals';
import { waitingApi } from '../../../../src/apps/node/waiting.ts';
import { MeshError } from '../../../../src/base/errors.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import type { SourceStatus } from '../../../../src/kube/source.ts';
import type { NodeName } from '../../../../src/model/mesh.ts';
import { meshOf } from '../../../support/mesh-builder.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const clock = new FakeClock();
const source: SourceStatus = {
  name: 'kubernetes https://10.96.0.1:443',
  state: 'starting',
  lastEventAt: undefined,
  conditions: [
    {
      subject: 'pods of this node',
      error: new MeshError('API_UNAVAILABLE', 'the API server cannot be reached: ECONNREFUSED'),
      since: clock.now() - 60_000,
    },
  ],
};

describe('a node program that waits for its objects', () => {
  const log = { ...silentLogger, setLevel: () => {} };
  const api = waitingApi({ node: 'node-a' as NodeName, clock, log, version: '1.0.0' }, meshOf({}), {
    status: () => source,
  });

  it('says in its status what it waits for, why, and since when', async () => {
    expect(await api.status()).toMatchObject({
      health: 'degraded',
      readiness: { ready: false, pending: ['objects of the mesh'] },
      source: { name: source.name, state: 'starting', lastEventAt: null },
      pods: { expected: 0, enrolled: 0, verified: 0 },
      problems: [
        {
          code: 'API_UNAVAILABLE',
          subject: 'source pods of this node',
          message: expect.stringContaining('ECONNREFUSED'),
          since: new Date(clock.now() - 60_000).toISOString(),
        },
      ],
    });
  });

  it('has nothing else to tell, and tells that', async () => {
    expect(await api.workloads()).toEqual([]);
    expect(await api.certificates()).toEqual([]);
    expect(await api.connections({})).toMatchObject({ live: [], recent: [] });
    expect(await api.enrolment('some-uid')).toMatchObject({ enrolled: false });
    expect(() => api.explain({ from: 'shop/web', to: 'db.shop' })).toThrow(/has not read the objects/);
  });
});
