import { expect, it } from '@jest/globals';
import { countForbidden, notingClient } from '../../../src/apps/forbidden.ts';
import { refusalError } from '../../../src/kube/api-refusal.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';

const message =
  'events.events.k8s.io is forbidden: User "system:serviceaccount:mesh:node" cannot create resource "events" in API ' +
  'group "events.k8s.io" in the namespace "shop"';
const refuse = (httpStatus: number, body: unknown) =>
  refusalError({ asked: 'create /apis/x', httpStatus, body });

it('counts requests that a missing permission refused by account, verb and resource, and no other failures', async () => {
  const metrics = new Metrics();
  const answers = [refuse(403, { message }), refuse(403, { message }), refuse(403, {}), refuse(500, {})];
  let next: Error = new Error('none');
  const client = notingClient({ request: async () => await Promise.reject(next) }, countForbidden(metrics));
  for (const error of answers) {
    next = error;
    await expect(client.request({ method: 'POST', path: '/apis/x' })).rejects.toBe(error);
  }
  expect((await metrics.render()).split('\n').filter((line) => line.startsWith('mesh_'))).toEqual([
    'mesh_api_forbidden_total{verb="create",resource="events.events.k8s.io",account="system:serviceaccount:mesh:node"} 2',
  ]);
});
