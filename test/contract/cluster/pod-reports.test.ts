/** What node programs write about pods, under the rights that the manifests give them. */
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { kustomize } from '../../../src/apps/install/kustomize.ts';
import { manifestFiles } from '../../../src/apps/install/manifest-files.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { MeshError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { PodReporter } from '../../../src/kube/report/pod-reporter.ts';
import type { WorkloadUid } from '../../../src/model/mesh.ts';
import { FakeKubeApi } from '../../support/fake-kube-api.ts';
import { allows, attributesOf, grantedTo, rightOf } from '../../support/rbac.ts';

jest.setTimeout(60_000);

const granted = grantedTo(kustomize(manifestFiles(), 'base'), 'mesh-ebpf-node');
const podPath = '/api/v1/namespaces/shop/pods/web-1';
const pod = { namespace: 'shop', name: 'web-1', uid: 'uid-web-1' as WorkloadUid };
const trouble = { reason: 'EnrolmentFailed', error: new MeshError('NETNS', 'not this one') } as const;

let api: FakeKubeApi;
beforeEach(async () => {
  api = await FakeKubeApi.start();
  api.put(podPath, { metadata: { annotations: { mine: 'stays' } } });
  api.fail = (request) =>
    granted.some((rule) => allows(rule, attributesOf(request)))
      ? undefined
      : { status: 403, message: `${request.method} ${request.path} is not granted` };
});
afterEach(() => api.stop());

const events = () =>
  [...api.objects].flatMap(([path, object]) => (path.includes('/events/') ? [object] : []));

async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`in vain: ${JSON.stringify([...api.objects])}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A node program of its own: it has told nothing yet. */
function report(what: Parameters<PodReporter['report']>[1]): void {
  const client = api.client();
  new PodReporter({ client, clock: systemClock, log: silentLogger, node: 'node-a' }).report(pod, what);
}

it('annotates, tells of a trouble, and counts it when it is told again, with all its rights and no others', async () => {
  report({ redirected: true, trouble });
  await until(() => events().length === 1);
  expect(api.objects.get(podPath)?.metadata.annotations).toEqual({
    mine: 'stays',
    'ambient.istio.io/redirection': 'enabled',
  });
  report({ redirected: false, trouble });
  await until(() => events()[0]?.['series'] !== undefined);
  expect(events()).toEqual([
    expect.objectContaining({ series: expect.objectContaining({ count: 2 }), type: 'Warning' }),
  ]);
  expect(api.objects.get(podPath)?.metadata.annotations).toEqual({ mine: 'stays' });

  const unused = granted
    .filter(({ rule }) => !rule.verbs.includes('watch'))
    .flatMap((rule) => rule.rule.verbs.map((verb) => ({ rule, verb })))
    .filter(({ rule, verb }) => {
      const uses = api.seen.map(attributesOf).filter((used) => used.verb === verb);
      return !uses.some((used) => allows(rule, used));
    });
  expect(unused.map(({ rule, verb }) => rightOf(rule, verb))).toEqual([]);
});
