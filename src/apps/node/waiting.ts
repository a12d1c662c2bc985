/**
 * A node program without objects: no API server has answered yet, and there is no snapshot. It answers on its admin
 * socket all the same, so that `status` can say what is waited for. Everything else comes when it is known which pods
 * there are.
 */
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { MeshSource } from '../../kube/mesh-source.ts';
import type { NodeName } from '../../model/mesh.ts';
import type { MeshReader } from '../../model/view.ts';
import type { AdminApi } from '../../telemetry/admin-api.ts';
import { createCompiler } from '../../policy/authorize.ts';
import { ConnectionRegistry } from '../../telemetry/connection-registry.ts';
import type { RunningServer } from '../../telemetry/http-server.ts';
import { Readiness } from '../../telemetry/readiness.ts';
import { createAdminApi } from './admin-api.ts';
import { serveAdmin } from './admin-socket.ts';
import type { Foundation } from './parts.ts';
import { conditionProblem } from './source-problem.ts';

/** Objects that come at once are not worth a socket, and nor is a wait while another node program still answers. */
const patienceMs = 2_000;

/** Nothing is enrolled, carried or certified yet. */
export const waitingApi = (
  { node, clock, log, version }: Pick<Foundation, 'clock' | 'log' | 'version'> & { readonly node: NodeName },
  mesh: MeshReader,
  source: Pick<MeshSource, 'status'>,
): AdminApi => ({
  ...createAdminApi({
    node,
    version,
    mesh,
    enrolment: { stateOf: () => undefined, counts: () => ({ expected: 0, enrolled: 0, verified: 0 }) },
    certificates: { status: () => [] },
    registry: new ConnectionRegistry(),
    pairs: { all: () => [] },
    policySetFor: createCompiler(),
    engine: { stats: () => ({ connections: 0, tunnelsOut: 0, tunnelsIn: 0, bufferedBytes: 0 }) },
    readiness: new Readiness(['objects of the mesh']),
    occupancy: () => [],
    sourceProblems: () => source.status().conditions.map((condition) => conditionProblem(condition)),
    sourceStatus: () => source.status(),
    kernelPath: undefined,
    objectProblems: () => [],
    setLogLevel: (level) => log.setLevel(level),
    now: () => clock.now(),
  }),
  lint: waitingForObjects,
  pairs: waitingForObjects,
  rehearse: waitingForObjects,
});

/** An empty mesh must not be taken for one without mistakes. */
function waitingForObjects(): never {
  throw new MeshError('UNAVAILABLE', 'the node has not read the objects of the mesh yet', {
    hint: 'what it waits for: mesh-ebpf status',
  });
}

export interface Answering {
  /** Resolves when the socket is free for who comes after. */
  end(): Promise<void>;
}

/** Returns at once; the socket is there a little later, unless it has ended by then. */
export function answerWhileWaiting(
  foundation: Foundation,
  mesh: MeshReader,
  source: Pick<MeshSource, 'status'>,
): Answering {
  let starting: Promise<RunningServer | undefined> = Promise.resolve(undefined);
  const start = async (): Promise<RunningServer | undefined> => {
    try {
      return await serveAdmin(
        foundation,
        waitingApi({ ...foundation, node: foundation.config.nodeName }, mesh, source),
      );
    } catch (thrown) {
      const { code, message } = asMeshError(thrown);
      foundation.log.debug({ code }, `nobody is told of the waiting: ${message}`);
      return undefined;
    }
  };
  const cancel = foundation.clock.after(patienceMs, () => {
    starting = start();
  });
  return {
    end: async () => {
      cancel();
      await (await starting)?.close();
    },
  };
}
