/** `doctor` in a cluster: each node checks itself, and its node program says how it is. */
import { asMeshError, type MeshError } from '../../base/errors.ts';
import { mapLimited } from '../../base/map-limited.ts';
import type { StatusDocument } from '../../telemetry/admin-api.ts';
import type { Check } from '../checks.ts';
import type { CliEnv } from '../env.ts';
import { statusChecks, unreachableCheck } from '../node-checks.ts';
import { type Found, maxAskedAtOnce, type NodeChoice } from '../node-handle.ts';
import { getDocument } from '../nodes.ts';
import type { RemoteNode } from './remote-node.ts';

export interface NodeCheck extends Check {
  readonly node: string;
}

/** By node; of each, what the machine lacks and then how the node program is. */
export async function checkCluster(
  env: CliEnv,
  { timeout }: Pick<NodeChoice, 'timeout'>,
  { handles, unreachable }: Found<RemoteNode>,
): Promise<readonly NodeCheck[]> {
  const asked = await mapLimited(
    handles,
    maxAskedAtOnce,
    async (node) => await checkNode(env, node, timeout),
  );
  const silent = unreachable.map((one) => ofNode(one.node, [unreachableCheck('node program', one)]));
  return [...asked, ...silent].toSorted((a, b) => ((a[0]?.node ?? '') < (b[0]?.node ?? '') ? -1 : 1)).flat();
}

async function checkNode(env: CliEnv, node: RemoteNode, timeout: number): Promise<readonly NodeCheck[]> {
  const unanswered = (error: MeshError): readonly Check[] => [
    unreachableCheck('node program', { node: node.node, where: node.where, error }),
  ];
  try {
    const signal = AbortSignal.any([env.interrupted, AbortSignal.timeout(timeout)]);
    const machine = await node.checks(signal);
    const question = { target: '/v1/status', kind: 'Status', timeout } as const;
    const program = await getDocument<StatusDocument>(env, node, question).then(
      (status) => statusChecks('node program', status),
      (thrown: unknown) => unanswered(asMeshError(thrown)),
    );
    return ofNode(node.node, [...machine, ...program]);
  } catch (thrown) {
    return ofNode(node.node, unanswered(asMeshError(thrown)));
  } finally {
    node.close();
  }
}

const ofNode = (node: string, checks: readonly Check[]): readonly NodeCheck[] =>
  checks.map((check) => ({ node, ...check, name: `${node}: ${check.name}` }));

/** For people with many nodes: of each what is not well, and the rest as a count. */
export function folded(checks: readonly NodeCheck[]): readonly Check[] {
  return [...Map.groupBy(checks, ({ node }) => node)].flatMap(([node, own]) => {
    const well = own.filter(({ result }) => result === 'ok');
    const count = {
      name: node,
      result: 'ok',
      found: `${well.length} checks ok`,
      cost: null,
      next: null,
    } as const;
    return [...(well.length > 0 ? [count] : []), ...own.filter(({ result }) => result !== 'ok')];
  });
}
