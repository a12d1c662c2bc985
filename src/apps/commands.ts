/** The commands that are long-running programs: `node` and `controller`. */
import { type Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import type { CommandContext } from '../cli/command.ts';
import { exitCodes } from '../cli/exit-codes.ts';
import { parseDuration } from '../cli/usage.ts';
import { defaultMapSizes } from '../datapath/maps.ts';
import type { NativeBinding } from '../native/binding.ts';
import { connectKeeper } from '../native/keeper.ts';
import type { LogLevel } from '../telemetry/admin-api.ts';
import { batchLines } from '../telemetry/line-batch.ts';
import { createLogger, type RootLogger } from '../telemetry/logger.ts';
import { nodeAgentName, tokenAudience } from '../controller/kubernetes/names.ts';
import { fromPod } from '../kube/client/kube-config.ts';
import { HttpKubeClient } from '../kube/client/kube-client.ts';
import { runClusterController } from './cluster-controller.ts';
import { clusterControllerConfig } from './config/cluster-controller-config.ts';
import { controllerConfig, type ControllerFlags } from './config/controller-config.ts';
import { nodeConfig, type NodeFlags } from './config/node-config.ts';
import { runController } from './controller.ts';
import { cgroup2Root } from './node/host-facts.ts';
import { runNode } from './node/node.ts';

export interface ProcessDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Fires when the process is asked to stop. */
  readonly stop: AbortSignal;
  readonly objectPath: string;
  readonly cniPluginPath: string;
  readonly loadNative: () => NativeBinding;
}

export const addProcessCommands =
  (deps: ProcessDeps) =>
  (program: Command, context: CommandContext): void => {
    addNodeCommand(program, context, deps);
    addControllerCommand(program, context, deps);
  };

function addNodeCommand(program: Command, context: CommandContext, deps: ProcessDeps): void {
  meshOptions(program.command('node'))
    .description('Run the node program: agent and ztunnel (root).')
    .option('--node-name <name>', 'name of this node, as in spec.nodeName [NODE_NAME]')
    .option('--objects <directory>', 'Kubernetes objects as YAML, watched, instead of an API server')
    .option('--kubeconfig <file>', 'how to reach the API server (default: as in a pod)')
    .option(
      '--snapshot <file>',
      'keeps what the API server said last (default: /var/lib/mesh-ebpf/node/objects.snapshot)',
    )
    .option(
      '--cgroup-root <directory>',
      'cgroup v2 directory that holds this node’s pods (default: the mount)',
    )
    .option(
      '--pin-root <directory>',
      'where BPF programs and maps are pinned (default: /sys/fs/bpf/mesh-ebpf)',
    )
    .option('--run-dir <directory>', 'where the admin socket is (default: /run/mesh-ebpf/node)')
    .option(
      '--ready-socket <path>',
      'says there, too, whether it is ready: this process, and no other one of the node',
    )
    .option('--ca-address <host:port>', 'the certificate authority [CA_ADDRESS]')
    .option('--ca-root <file>', 'its trusted roots, PEM [CA_ROOT_CA]')
    .option('--token-file <file>', 'this node’s token for it [AUTH_TOKEN]')
    .option('--drain-seconds <n>', 'time for connections to finish at a stop (default: 5)')
    .option(
      '--cni-conf-dir <directory>',
      'put the CNI plugin into the network configuration here, /etc/cni/net.d [CNI_CONF_DIR]',
    )
    .option('--cni-bin-dir <directory>', 'where its program goes, /opt/cni/bin [CNI_BIN_DIR]')
    .option(
      '--cni-exclude-namespaces <a,b>',
      'their pods never wait for this program (default: kube-system; POD_NAMESPACE always)',
    )
    .option('--cni-wait-seconds <n>', 'how long the others wait for it before they are refused (default: 20)')
    .option('--max-pods <n>', `enrolled pods of this node (default: ${defaultMapSizes.pods})`)
    .option(
      '--max-destinations <n>',
      `addresses of the whole mesh (default: ${defaultMapSizes.destinations})`,
    )
    .option(
      '--max-flows <n>',
      `connections that are being captured, or the node’s to its pods (default: ${defaultMapSizes.flows})`,
    )
    .option(
      '--max-egress <n>',
      `prefixes that NamespaceAccess objects name for this node’s pods (default: ${defaultMapSizes.egress})`,
    )
    .option(
      '--max-verdicts <n>',
      `pairs of this node’s pods on the kernel path, by address and port (default: ${defaultMapSizes.verdicts})`,
    )
    .option(
      '--same-node <path>',
      'pods of this node reach each other by "kernel": without ztunnel, or by "hbone" (default: kernel)',
    )
    .option(
      '--accelerate <which>',
      'which connections on the kernel path go from socket to socket: "off", "auto" (pods that ask) or "forced" (default: off)',
    )
    .option(
      '--max-pod-connections <n>',
      'connections of one pod to others of this node with --same-node kernel, while no other has many (default: a quarter of --max-flows)',
    )
    .option(
      '--cluster-dns <a,b>',
      'who answers DNS, addresses or NAMESPACE/NAME of Services: open to all pods (default: kube-system/kube-dns)',
    )
    .action(
      context.action<NodeFlags>(async (flags) => {
        const config = nodeConfig(flags, deps.environment, cgroup2Root());
        const log = processLogger(config.logLevel, { node: config.nodeName });
        const native = deps.loadNative();
        const keeper = connectKeeper({ native, log }, deps.environment['MESH_EBPF_KEEPER']);
        const { version } = context.env;
        await runNode(config, { ...deps, native, keeper, log, version }, deps.stop);
        return exitCodes.clean;
      }),
    );
}

function addControllerCommand(program: Command, context: CommandContext, deps: ProcessDeps): void {
  meshOptions(program.command('controller'))
    .description('Run the controller: the certificate authority.')
    .option('--objects <directory>', 'Kubernetes objects as YAML, watched')
    .option('--ca-dir <directory>', 'keys and certificates (default: /var/lib/mesh-ebpf/ca)')
    .option('--listen <ip:port>', 'where to serve (default: 0.0.0.0:15012)')
    .option('--server-name <name...>', 'more names by which nodes reach it')
    .option('--tokens <file>', 'JSON file of hashed join tokens')
    .option(
      '--kubernetes',
      'in a pod of a cluster: authority in a Secret, tokens reviewed by the API server [POD_NAME, POD_NAMESPACE]',
    )
    .option('--token-audience <name>', `audience of node programs’ tokens (default: ${tokenAudience})`)
    .option('--node-service-account <name>', `of the node programs (default: ${nodeAgentName})`)
    .addOption(
      new Option(
        '--certificate-lifetime <duration>',
        'of workloads: 1m to 24h; below 30m, clocks may differ by half of it only (default: 24h)',
      ).argParser(parseDuration),
    )
    .action(
      context.action<ControllerFlags>(async (flags) => {
        if (flags.kubernetes === true) return await runInCluster(flags, context, deps);
        const config = controllerConfig(flags, deps.environment);
        await runController(config, processLogger(config.logLevel, { component: 'controller' }), deps.stop);
        return exitCodes.clean;
      }),
    );
}

async function runInCluster(
  flags: ControllerFlags,
  { env }: CommandContext,
  { environment, stop }: ProcessDeps,
): Promise<number> {
  const config = clusterControllerConfig(flags, environment);
  const log = processLogger(config.logLevel, { component: 'controller', replica: config.identity });
  const server = await fromPod();
  const client = new HttpKubeClient(server, { userAgent: `mesh-ebpf-controller/${env.version}` });
  await runClusterController(config, { client, server, log, version: env.version }, stop);
  return exitCodes.clean;
}

const meshOptions = (command: Command): Command =>
  command
    .option('--trust-domain <name>', 'SPIFFE trust domain (default: cluster.local) [TRUST_DOMAIN]')
    .option('--cluster-domain <name>', 'DNS domain of Services (default: cluster.local) [CLUSTER_DOMAIN]')
    .option('--cluster-id <name>', 'name of the cluster in logs and metrics [CLUSTER_ID]')
    .option('--root-namespace <name>', 'namespace whose policies apply everywhere (default: istio-system)')
    .option('--log-level <level>', 'debug, info, warn or error (default: info)');

function processLogger(level: LogLevel, base: Readonly<Record<string, string>>): RootLogger {
  const lines = batchLines((text) => process.stdout.write(text), systemClock);
  process.once('exit', () => lines.flush());
  return createLogger({ level, base, destination: lines });
}
