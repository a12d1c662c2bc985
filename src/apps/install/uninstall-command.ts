/** `uninstall --cluster` as the command line sees it. */
import type { CliEnv, ClusterUninstallOptions } from '../../cli/env.ts';
import type { ExitCode } from '../../cli/exit-codes.ts';
import { printable } from '../../cli/printable.ts';
import { fromKubeconfig } from '../../kube/client/kube-config.ts';
import { HttpKubeClient } from '../../kube/client/kube-client.ts';
import { kustomize } from './kustomize.ts';
import { manifestFiles } from './manifest-files.ts';
import { uninstallCluster } from './uninstall-cluster.ts';

export async function uninstallByCommand(env: CliEnv, options: ClusterUninstallOptions): Promise<ExitCode> {
  const deps = {
    client: new HttpKubeClient(await fromKubeconfig(options), { signal: env.interrupted }),
    manifests: kustomize(manifestFiles(), 'base'),
    ask: async (text: string) => await env.ask(text),
    done: (line: string) => env.stdout.write(`${printable(line)}\n`),
    progress: (line: string) => env.stderr.write(`${printable(line)}\n`),
  };
  return await uninstallCluster(deps, options);
}
