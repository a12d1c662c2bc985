/**
 * `demo`: the mesh comes into a real cluster whose pods run already. Tells of each connection what three independent
 * witnesses say: the client, the called pod's node, and somebody listening on the link between the nodes.
 */
import { randomUUID } from 'node:crypto';
import { renderTable } from '../../../src/cli/table.ts';
import { step } from '../machine/progress.ts';
import { readState } from '../machine/state.ts';
import { ClusterApi } from '../support/api.ts';
import { eventually } from '../support/eventually.ts';
import { echo } from '../support/fortio.ts';
import { overhear } from '../support/link.ts';
import { type Connection, installedMesh, labelNamespace, type Mesh } from '../support/mesh.ts';
import { type Pair, pairManifest, whenPairReady } from '../support/pair.ts';
import type { ClusterContext } from './context.ts';
import { down } from './down.ts';
import { up } from './up.ts';

const shop = 'demo-shop';
const legacy = 'demo-legacy';
type Namespace = typeof shop | typeof legacy;

type Path = 'mTLS tunnel' | 'plaintext' | 'not captured';

interface Act {
  readonly how: string;
  /** It is always `web` of the one that calls `cart` of the other. */
  readonly from: Namespace;
  readonly to: Namespace;
  readonly byAddress?: boolean;
  readonly expect: Path;
}

interface Outcome {
  readonly act: Act;
  readonly path: Path;
  readonly identity: string | undefined;
  readonly readable: boolean;
}

const beforeLabel: readonly Act[] = [
  { how: 'by Service name, before the label', from: shop, to: shop, expect: 'not captured' },
];
const afterLabel: readonly Act[] = [
  { how: 'by Service name', from: shop, to: shop, expect: 'mTLS tunnel' },
  { how: 'by pod address', from: shop, to: shop, byAddress: true, expect: 'mTLS tunnel' },
  { how: 'from outside the mesh', from: legacy, to: shop, expect: 'plaintext' },
  { how: 'to outside the mesh', from: shop, to: legacy, expect: 'not captured' },
];

interface Stage {
  readonly api: ClusterApi;
  readonly mesh: Mesh;
  readonly pairs: Readonly<Record<Namespace, Pair>>;
}

/** Returns whether everything was as expected. A cluster that is up already is taken, and left as `keep` says. */
export async function demo(
  context: ClusterContext,
  keep: boolean,
  print: (text: string) => void,
): Promise<boolean> {
  const { layout, progress } = context;
  try {
    if ((await readState(layout))?.complete !== true) {
      await up(context, { owner: 'person', nodeCount: 2, proxyMode: 'nftables', dualStack: false });
    }
    const api = ClusterApi.fromFile(layout.adminKubeconfig);
    const pairs = await step(progress, 'starting web and cart, twice', () => startPairs(api));
    const mesh = await step(progress, 'loading the image; mesh-ebpf install', installedMesh);
    const outcomes = await tell({ api, mesh, pairs }, print);
    print(table(outcomes));
    print(epilogue(keep));
    return outcomes.every(isAsExpected);
  } finally {
    if (!keep) await step(progress, 'ending the cluster', () => down(context));
  }
}

async function startPairs(api: ClusterApi): Promise<Stage['pairs']> {
  for (const namespace of [shop, legacy]) await api.apply(pairManifest(namespace));
  return { [shop]: await whenPairReady(api, shop), [legacy]: await whenPairReady(api, legacy) };
}

async function tell(stage: Stage, print: (text: string) => void): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const act of beforeLabel) outcomes.push(await perform(act, stage));
  print(`\n$ kubectl label namespace ${shop} istio.io/dataplane-mode=ambient`);
  await labelNamespace(stage.api, shop, 'ambient');
  await stage.mesh.whenEnrolled(shop, 2);
  print('Both pods are in the mesh; none was restarted.\n');
  for (const act of afterLabel) outcomes.push(await perform(act, stage));
  return outcomes;
}

async function perform(act: Act, { api, mesh, pairs }: Stage): Promise<Outcome> {
  const { web } = pairs[act.from];
  const { cart } = pairs[act.to];
  const { status } = await api.core.readNamespacedPod(cart);
  const url = act.byAddress === true ? `http://${status?.podIP}:8080/` : `http://cart.${act.to}/`;
  const call = (text: string): Promise<string> => echo(api, web, url, text);
  // DNS and Services are known everywhere some moments after they were made.
  await eventually(
    `${url} answers`,
    () => call('hello'),
    (text) => text.includes('hello'),
    60_000,
  );
  const known = new Set((await mesh.connections(act.to)).map(keyOf));
  const marker = `mesh-ebpf-demo-${randomUUID()}`;
  const heard = await overhear(() => call(marker));
  const isNew = (connection: Connection): boolean =>
    !known.has(keyOf(connection)) &&
    connection.direction === 'inbound' &&
    connection.destination.workload === `${act.to}/${cart.name}`;
  const record =
    act.expect === 'not captured'
      ? (await mesh.connections(act.to)).find(isNew)
      : await mesh.whenConnection(act.how, act.to, isNew);
  return {
    act,
    path: pathOf(record),
    identity: record?.source.identity ?? undefined,
    readable: heard.contains(marker),
  };
}

const keyOf = ({ node, id }: Connection): string => `${node} ${id}`;

const pathOf = (record: Connection | undefined): Path =>
  record === undefined ? 'not captured' : record.path === 'tunnel' ? 'mTLS tunnel' : 'plaintext';

const isAsExpected = ({ act, path, readable }: Outcome): boolean =>
  path === act.expect && readable === (act.expect !== 'mTLS tunnel');

const table = (outcomes: readonly Outcome[]): string =>
  renderTable(
    [
      { header: 'WHO → WHOM', cell: ({ act }) => `${act.from}/web → ${act.to}/cart` },
      { header: 'HOW', cell: ({ act }) => act.how },
      { header: 'PATH', cell: ({ path }) => path },
      { header: 'SERVER SAW', cell: ({ identity }) => identity ?? '-' },
      {
        header: 'ON THE LINK',
        cell: (outcome) =>
          (outcome.readable ? 'READABLE' : 'encrypted') + (isAsExpected(outcome) ? '' : ': NOT AS EXPECTED'),
      },
    ],
    outcomes,
    { paint: (_style, text) => text, columns: undefined },
  ).join('\n');

const epilogue = (kept: boolean): string =>
  kept
    ? `
Try next, after  eval "$(npm run --silent cluster -- env)"
  bin/mesh-ebpf status                               is the mesh well?
  bin/mesh-ebpf connections -n ${shop}             who talked to whom, under which identity
  kubectl label namespace ${legacy} istio.io/dataplane-mode=ambient
  npm run cluster -- reboot 1                        a node loses power
  bin/mesh-ebpf uninstall --cluster                  and nothing is left on the nodes
  make cluster-down                                  end it all
`
    : `
Try next
  make demo-cluster KEEP=1                           the same, and leave it running to look around
  make cluster-up                                    the cluster alone; test/cluster/README.md
  daemonset/README.md                                into a cluster of yours
`;
