/** The real `CliEnv`: this process, this machine. Only the composition root uses it. */
import { readFileSync, statSync } from 'node:fs';
import { access, readdir, readFile } from 'node:fs/promises';
import { arch, release } from 'node:os';
import { createInterface } from 'node:readline/promises';
import type { WriteStream } from 'node:tty';
import { type Clock, systemClock } from '../base/clock.ts';
import { asMeshError, MeshError } from '../base/errors.ts';
import { requireCgroup2 } from '../base/mounts.ts';
import { dumpMap, listMaps } from '../datapath/inspect/maps.ts';
import { listPrograms, startCounting } from '../datapath/inspect/programs.ts';
import { endAccelerated } from '../datapath/acceleration/end.ts';
import { accelerationFeature, tryAcceleration } from '../datapath/acceleration/trial.ts';
import { probeFeatures } from '../datapath/probe.ts';
import {
  findLeftovers,
  findOthersNamespaces,
  findUnclaimed,
  ownedBy,
  uninstallDatapath,
} from '../datapath/uninstall.ts';
import { fromKubeconfig } from '../kube/client/kube-config.ts';
import { HttpKubeClient } from '../kube/client/kube-client.ts';
import { startInPod } from '../kube/client/pod-exec.ts';
import type { NativeBinding } from '../native/binding.ts';
import { adminRequest } from './admin-client.ts';
import type {
  Cleaner,
  CliEnv,
  Cluster,
  ClusterChoice,
  DatapathAccess,
  FileAccess,
  OutputStream,
  ProgramName,
  TerminalVariables,
} from './env.ts';

/** Those of the terminal, and those that say where the usual kubeconfig is. */
type Variables = TerminalVariables & {
  readonly KUBECONFIG?: string | undefined;
  readonly HOME?: string | undefined;
};

export interface SystemEnvDeps {
  readonly programName: ProgramName;
  readonly version: string;
  readonly variables: Variables;
  /** `PATH`, split. */
  readonly path: readonly string[];
  readonly loadNative: () => NativeBinding;
  /** The compiled BPF object. */
  readonly objectPath: string;
  readonly interrupted: AbortSignal;
  readonly cleaners?: readonly Cleaner[];
  readonly uninstallCluster?: CliEnv['uninstallCluster'];
}

export function systemEnv(deps: SystemEnvDeps): CliEnv {
  const { programName, version, variables, path, interrupted } = deps;
  return {
    programName,
    stdout: outputStream(process.stdout),
    stderr: outputStream(process.stderr),
    variables,
    clock: waitingClock,
    version,
    platform: { node: process.versions.node, kernel: release(), machine: arch() },
    uid: process.getuid?.() ?? -1,
    files,
    path,
    interrupted,
    input: () => process.stdin,
    ask,
    adminRequest,
    openCluster: async (choice) => await openCluster(choice, variables, interrupted),
    datapath: datapathAccess(deps),
    cleaners: deps.cleaners ?? [],
    uninstallCluster: deps.uninstallCluster,
  };
}

/** What it needs is loaded only now: most commands need no cluster. */
async function openCluster(
  choice: ClusterChoice,
  { KUBECONFIG = '', HOME = '' }: Variables,
  interrupted: AbortSignal,
): Promise<Cluster | undefined> {
  const chosen = choice.kubeconfig !== undefined || choice.context !== undefined || KUBECONFIG !== '';
  if (!chosen && !(HOME !== '' && (await files.exists(`${HOME}/.kube/config`)))) return undefined;
  const server = await fromKubeconfig(choice);
  return {
    server: server.server.host,
    client: new HttpKubeClient(server, { signal: interrupted }),
    start: async (program, events, signal) => await startInPod(server, program, events, signal),
  };
}

/** A command that waits is not over: unlike a node's, its timers keep the process alive. */
const waitingClock: Clock = {
  ...systemClock,
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** The addon is loaded at the first use: most commands need none. */
function datapathAccess({
  loadNative,
  objectPath,
}: Pick<SystemEnvDeps, 'loadNative' | 'objectPath'>): DatapathAccess {
  return {
    maps: (pinRoot) => listMaps(loadNative(), pinRoot),
    dump: (pinRoot, map) => dumpMap(loadNative(), pinRoot, map),
    programs: (pinRoot) => listPrograms(loadNative(), pinRoot),
    startCounting: () => startCounting(loadNative()),
    features: async (places) => [
      ...(await probeFeatures(loadNative(), places)),
      accelerationFeature(await tryAcceleration(loadNative(), objectPath)),
    ],
    uninstall: async (pinRoot) => {
      await endAccelerated(loadNative(), pinRoot);
      return uninstallDatapath(loadNative(), pinRoot);
    },
    owned: (pinRoots, machine) => ownedBy(loadNative(), pinRoots, machine ? machineCgroup() : undefined),
    leftovers: async (pinRoots, owned) => await findLeftovers(loadNative(), pinRoots, owned),
    othersNamespaces: (owned) => findOthersNamespaces(loadNative(), owned),
    unclaimed: (owned) => findUnclaimed(loadNative(), owned),
  };
}

/** Where a node's programs are attached unless it was told otherwise. A cgroup's id is its directory's inode. */
const machineCgroup = (): bigint =>
  statSync(requireCgroup2(readFileSync('/proc/self/mounts', 'utf8')), { bigint: true }).ino;

function outputStream(stream: WriteStream): OutputStream {
  return {
    write: (text) => void stream.write(text),
    get isTTY() {
      return stream.isTTY;
    },
    get columns() {
      return stream.isTTY ? stream.columns : undefined;
    },
  };
}

async function ask(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question);
  } finally {
    lines.close();
  }
}

const files: FileAccess = {
  async readText(path) {
    return await readFile(path, 'utf8').catch((thrown: unknown) => fail(path, thrown));
  },
  async list(path) {
    const names = await readdir(path).catch((thrown: unknown) =>
      isMissing(thrown) ? [] : fail(path, thrown),
    );
    return names.toSorted((a, b) => (a < b ? -1 : 1));
  },
  async exists(path) {
    return await access(path).then(
      () => true,
      () => false,
    );
  },
};

function fail(path: string, cause: unknown): never {
  if (isMissing(cause)) throw new MeshError('NOT_FOUND', `${path} does not exist`, { cause });
  const code = codeOf(cause);
  if (code === 'EACCES' || code === 'EPERM') {
    throw new MeshError('PERMISSION', `may not read ${path}`, { cause, hint: 'run the command with sudo' });
  }
  throw asMeshError(cause, 'SYSCALL', `cannot read ${path}`);
}

const isMissing = (thrown: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(codeOf(thrown));

const codeOf = (thrown: unknown): string =>
  typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : '';
