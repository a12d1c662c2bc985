/** etcd, an API server and one node on which nothing runs yet: `test/cluster` without kubelets and schedulers. */
import { createContext, running, type Running } from '../cluster/commands/context.ts';
import { start, stop } from '../cluster/commands/control.ts';
import { down } from '../cluster/commands/down.ts';
import { upBare } from '../cluster/commands/up.ts';
import type { ProcessRef } from '../../src/lab/system/process.ts';
import { findProcess, initRecord } from '../cluster/machine/daemons.ts';
import { findNode } from '../cluster/machine/state.ts';
import type { ClusterNode } from '../cluster/plan/layout.ts';
import { BulkApi, type Call } from '../cluster/support/bulk-api.ts';
import { EtcdWriter, type Stored } from '../cluster/support/etcd-writer.ts';
import { measuredNode } from './objects.ts';

export interface BareCluster extends AsyncDisposable {
  readonly running: Running;
  readonly node: ClusterNode;
  /** The node's process 1: its root directory shows the node's file systems. */
  readonly init: ProcessRef;
  api(): BulkApi;
  /** Steps in order, the calls of each together. */
  make(steps: readonly (readonly Call[])[]): Promise<void>;
  /** Past the API server, which learns of them at once. */
  store(objects: readonly Stored[]): Promise<void>;
  stopApiServer(): Promise<void>;
  startApiServer(): Promise<void>;
}

export async function startCluster(progress: (line: string) => void): Promise<BareCluster> {
  const context = createContext(progress);
  await upBare(context, { owner: 'tests', nodeCount: 1, proxyMode: 'nftables', dualStack: false });
  const cluster = await running(context);
  const node = findNode(cluster.state, measuredNode);
  const init = await findProcess(context.layout, initRecord(node));
  if (init === undefined) throw new Error(`${node.name} does not run`);
  const connect = (): BulkApi => new BulkApi(context.layout.adminKubeconfig);
  let api = connect();
  return {
    running: cluster,
    node,
    init,
    api: () => api,
    async make(steps) {
      for (const calls of steps) await api.all(calls);
    },
    async store(objects) {
      using etcd = new EtcdWriter(context.layout);
      await etcd.put(objects);
    },
    stopApiServer: () => stop(context, 'kube-apiserver', 'SIGKILL'),
    async startApiServer() {
      await start(context, 'kube-apiserver');
      api[Symbol.dispose]();
      api = connect();
    },
    async [Symbol.asyncDispose]() {
      api[Symbol.dispose]();
      await down(context);
    },
  };
}
