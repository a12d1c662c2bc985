/** Load, a connection per request, while applications or the mesh itself are restarted: how many requests fail. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  killWorker,
  kubectl,
  load,
  loadDuring,
  type Load,
  type LoadOptions,
  restart,
  serviceUrl,
  setMeshed,
  upgradeNodePrograms,
} from '../../support/rollout.ts';
import { serverManifest } from '../../support/servers.ts';
import { bothSides, type ClusterRow, count, meshAlone } from '../row.ts';

const replicas = 50;
const fresh: LoadOptions = { perSecond: 200, seconds: 10, clients: 16, newConnections: true };

const counted = [
  count('failed', 'failed'),
  count('of', 'of requests'),
  { id: 'slowest', unit: 'slowest s', digits: 2 },
];

const sampleOf = ({ failed, done, slowestSeconds }: Load) => ({ failed, of: done, slowest: slowestSeconds });

const rollingRestart = (id: string, how: string, preStopSeconds: number): ClusterRow => ({
  id,
  title: `rolling restart of ${replicas} pods, ${how}`,
  metrics: counted,
  sides: bothSides,
  async measure({ api }, { namespace, client, meshed }) {
    const manifest = serverManifest(namespace, 'web', { replicas, preStopSeconds });
    try {
      await api.apply(manifest);
      await kubectl('-n', namespace, 'rollout', 'status', 'deployment/web', '--timeout=5m');
      if (meshed) await setMeshed(api, namespace, true);
      const url = await serviceUrl(api, namespace, 'web');
      return sampleOf(await loadDuring(client, url, fresh, () => restart(namespace, 'deployment/web')));
    } finally {
      await api.delete(manifest);
      await kubectl('-n', namespace, 'wait', '--for=delete', 'pod', '-l', 'app=web', '--timeout=3m');
    }
  },
});

const lasting: LoadOptions = { perSecond: 40, seconds: 60, clients: 8, newConnections: false };

const upgrade: ClusterRow = {
  id: 'upgrade',
  title: 'rolling upgrade of the node programs',
  metrics: [
    ...counted,
    count('keptFailed', 'kept: failed'),
    count('cut', `kept: connections cut, of ${lasting.clients}`),
  ],
  sides: meshAlone,
  async measure(_stage, { client, far }) {
    const keeping = load(client, far, lasting);
    const sample = sampleOf(await loadDuring(client, far, fresh, upgradeNodePrograms));
    const kept = await keeping;
    return { ...sample, keptFailed: kept.failed, cut: kept.connections - lasting.clients };
  },
};

const killedNodes = ['2', '1', '2'] as const;
const betweenKillsMs = 15_000;

const kills: ClusterRow = {
  id: 'kills',
  title: 'three kill -9 of a node program in 45 s',
  metrics: counted,
  sides: meshAlone,
  async measure(_stage, { client, far }) {
    return sampleOf(await loadDuring(client, far, fresh, killThrice));
  },
};

async function killThrice(): Promise<void> {
  for (const node of killedNodes) {
    const pause = delay(betweenKillsMs);
    await killWorker(node);
    await pause;
  }
}

export const restartRows: readonly ClusterRow[] = [
  rollingRestart('pre-stop', 'with 4 s preStop', 4),
  rollingRestart('abrupt', 'abruptly (no preStop)', 0),
  upgrade,
  kills,
];
