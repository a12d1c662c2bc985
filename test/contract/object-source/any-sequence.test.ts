// Whatever happens to the objects, the server and the connection, in whatever order: in the end both are of one mind.
import { describe, it } from '@jest/globals';
import * as fc from 'fast-check';
import { apiPaths, type FakeApiServer, type Fault } from '../../support/fake-api-server.ts';
import { ApiRig, namespace, pod } from './api-rig.ts';
import { until } from './mirror.ts';

type Step = (server: FakeApiServer) => void | Promise<void>;

const names = fc.constantFrom('a', 'b', 'c', 'd');
const nodes = fc.constantFrom('node-a', 'node-b', undefined);

const changes: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(names, fc.constantFrom('x', 'y', 'z')).map(
    ([name, team]): Step =>
      (server) =>
        server.put(apiPaths.namespaces, namespace(name, team)),
  ),
  names.map(
    (name): Step =>
      (server) =>
        server.remove(apiPaths.namespaces, name),
  ),
  fc
    .tuple(names, nodes, fc.constantFrom('Pending', 'Running', 'Succeeded'), fc.constantFrom('', '10.0.0.1'))
    .map(([name, node, phase, ip]): Step => (server) => {
      // A pod does not move: another node means another pod.
      server.remove(apiPaths.pods, name, 'shop');
      server.put(apiPaths.pods, pod(name, { phase, ip, ...(node === undefined ? {} : { node }) }));
    }),
  names.map(
    (name): Step =>
      (server) =>
        server.remove(apiPaths.pods, name, 'shop'),
  ),
);

const fault: fc.Arbitrary<Fault> = fc.constantFrom<Fault>(
  { type: 'status', code: 410 },
  { type: 'status', code: 500 },
  { type: 'status', code: 429, retryAfter: '0' },
  { type: 'garbage' },
  { type: 'cut' },
  { type: 'oversized', bytes: 150_000 },
);

const troubles: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.constantFrom('list' as const, 'watch' as const), fault).map(
    ([verb, what]): Step =>
      (server) =>
        server.fail(verb, what),
  ),
  fc.constantFrom<Step>(
    (server) => server.cutWatches(),
    (server) => server.expireWatches(),
    (server) => server.cutConnections(),
    (server) => server.forget(),
    (server) => server.bookmark(),
    () => new Promise((resolve) => setTimeout(resolve, 5)),
    () => new Promise((resolve) => setTimeout(resolve, 30)),
  ),
);

/** What a node has to know of what the server has. */
function wanted(server: FakeApiServer): readonly string[] {
  const pods = server.objectsAt(apiPaths.pods).flatMap((object) => {
    const { nodeName } = object['spec'] as { nodeName?: string };
    const { phase, podIP } = object['status'] as { phase: string; podIP?: string };
    const isReachable = podIP !== undefined && phase !== 'Succeeded';
    const isWanted = nodeName === 'node-a' || (nodeName !== undefined && isReachable);
    return isWanted ? [`Pod/shop/${object.metadata.name}=${nodeName} ${phase}`] : [];
  });
  const namespaces = server
    .objectsAt(apiPaths.namespaces)
    .map(({ metadata }) => `Namespace//${metadata.name}=${(metadata['labels'] as { team: string }).team}`);
  return [...pods, ...namespaces].toSorted();
}

const known = ({ mirror }: ApiRig): readonly string[] =>
  [...mirror.objects]
    .map(([key, { object }]) =>
      object.kind === 'Pod'
        ? `${key}=${object.spec.nodeName} ${object.status?.phase}`
        : `${key}=${object.metadata.labels?.['team']}`,
    )
    .toSorted();

describe.each([true, false])(
  'after any sequence of changes and faults (lists streamed: %s)',
  (streamsLists) => {
    it('the node knows what the server has', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.oneof({ weight: 3, arbitrary: changes }, troubles), { maxLength: 25 }),
          async (steps) => {
            await using rig = await ApiRig.open({ streamsLists });
            void rig.source.start(rig.mirror);
            for (const step of steps) await step(rig.server);
            // Before that both may agree that there is nothing, because the node has not asked.
            await until(
              () => rig.source.status().state === 'live',
              () => rig.source.status(),
            );
            const agree = (): boolean => known(rig).join() === wanted(rig.server).join();
            await until(agree, () => ({ known: known(rig), wanted: wanted(rig.server), logged: rig.logged }));
          },
        ),
        { numRuns: 40, interruptAfterTimeLimit: 60_000 },
      );
    }, 120_000);
  },
);
