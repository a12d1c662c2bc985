/**
 * Everything a command can see or touch. Commands reach the world through this object only, so tests run them in the
 * test's own process, without root and without a mesh. `system-env.ts` makes the real one.
 */
import type { Clock } from '../base/clock.ts';
import type { Feature, ProbedPlaces } from '../datapath/probe.ts';
import type { MapSummary } from '../datapath/inspect/maps.ts';
import type { AttachedProgram } from '../datapath/inspect/programs.ts';
import type { Row } from '../datapath/inspect/rows.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import type { PodProcess, PodProcessEvents, PodProgram } from '../kube/client/pod-exec.ts';
import type { ExitCode } from './exit-codes.ts';
import type { Leftover, Owned } from '../datapath/ownership.ts';

export interface OutputStream {
  write(text: string): void;
  readonly isTTY: boolean;
  /** Width of the terminal; undefined when it is none. */
  readonly columns: number | undefined;
}

export interface AdminRequest {
  readonly method: 'GET' | 'PUT';
  /** Path and query. */
  readonly target: string;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface AdminResponse {
  readonly status: number;
  /** Parsed JSON. */
  readonly document: unknown;
}

export interface FileAccess {
  /** @throws MeshError NOT_FOUND, PERMISSION */
  readText(path: string): Promise<string>;
  /** Names in a directory, sorted; empty when it does not exist. @throws MeshError PERMISSION */
  list(path: string): Promise<readonly string[]>;
  exists(path: string): Promise<boolean>;
}

/** `src/datapath` for the commands that work without an agent; each `pinRoot` is one node's. */
export interface DatapathAccess {
  maps(pinRoot: string): readonly MapSummary[];
  dump(pinRoot: string, map: string): readonly Row[];
  programs(pinRoot: string): readonly AttachedProgram[];
  /** The kernel counts programs' runs until the function returned is called, or this process ends. */
  startCounting(): () => void;
  features(places: ProbedPlaces): Promise<readonly Feature[]>;
  /** Returns how many pins there were. Ends accelerated connections first. */
  uninstall(pinRoot: string): number | Promise<number>;
  /** By what to tell the objects of these nodes from others' after they are removed; of the whole machine if asked. */
  owned(pinRoots: readonly string[], machine: boolean): Owned;
  /** What is still there of it, and of the nodes' pins. */
  leftovers(pinRoots: readonly string[], owned: Owned): Promise<readonly Leftover[]>;
  /** Inodes of the network namespaces that other installations capture. */
  othersNamespaces(owned: Owned): ReadonlySet<bigint>;
  /** What looks like the mesh's, and belongs to nobody that can be seen. */
  unclaimed(owned: Owned): readonly Leftover[];
}

/** Removes one kind of thing outside the datapath's pins, such as rules and routes in pods' namespaces. */
export interface Cleaner {
  /** What it removes, in the plural: `rules and routes of pods`. */
  readonly name: string;
  /** What is there, a line each. @param others inodes of network namespaces that are other installations' */
  find(others: ReadonlySet<bigint>): Promise<readonly string[]>;
  remove(others: ReadonlySet<bigint>): Promise<void>;
}

/** Which cluster, and where in it the mesh is. */
export interface ClusterChoice {
  /** A file, instead of the usual ones. */
  readonly kubeconfig?: string;
  /** One of its contexts, instead of the current one. */
  readonly context?: string;
  readonly meshNamespace: string;
}

/** The way to a cluster, with the rights of whoever types the command. */
export interface Cluster {
  /** The API server, for messages. */
  readonly server: string;
  readonly client: KubeClient;
  /** @throws MeshError why it was refused; anything when `signal` aborts */
  start(program: PodProgram, events: PodProcessEvents, signal: AbortSignal): Promise<PodProcess>;
}

/** The variables that terminals agree on; `apps/config` reads them. */
export interface TerminalVariables {
  readonly NO_COLOR?: string | undefined;
  readonly CLICOLOR_FORCE?: string | undefined;
  readonly TERM?: string | undefined;
}

/** What people type to run this: `mesh-ebpf`, or `kubectl mesh`. */
export type ProgramName = 'mesh-ebpf' | 'kubectl mesh';

export interface CliEnv {
  readonly programName: ProgramName;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly variables: TerminalVariables;
  readonly clock: Clock;
  readonly version: string;
  /** Node's version, the kernel's release and the machine, for `version` and `doctor`. */
  readonly platform: { readonly node: string; readonly kernel: string; readonly machine: string };
  /** The user the command runs as; 0 is root. */
  readonly uid: number;
  readonly files: FileAccess;
  /** Directories searched for tools. */
  readonly path: readonly string[];
  /** Aborted by Ctrl-C: ends what follows or waits. */
  readonly interrupted: AbortSignal;
  /** Standard input, to its end. */
  input(): AsyncIterable<Buffer | string>;
  /** One line the person types; undefined when nobody can be asked. */
  ask(question: string): Promise<string | undefined>;
  /** @throws MeshError UNAVAILABLE, PERMISSION, TIMEOUT */
  adminRequest(socket: string, request: AdminRequest): Promise<AdminResponse>;
  /**
   * The cluster chosen, or that of the usual kubeconfig; undefined when none is chosen and there is no kubeconfig.
   * @throws MeshError INVALID_ARGUMENT, NOT_FOUND
   */
  openCluster(choice: ClusterChoice): Promise<Cluster | undefined>;
  /** What is pinned and loaded in the kernel. @throws MeshError UNSUPPORTED when the native addon does not load */
  readonly datapath: DatapathAccess;
  /** What else the mesh leaves on a machine, for `uninstall`. */
  readonly cleaners: readonly Cleaner[];
  /** Takes the mesh out of a whole cluster; returns the exit status. Absent where there is no way to a cluster. */
  readonly uninstallCluster?: ((options: ClusterUninstallOptions) => Promise<ExitCode>) | undefined;
}

export interface ClusterUninstallOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Milliseconds for all nodes to be cleaned. */
  readonly timeout: number;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  /** Delete the objects although a node could not be cleaned. */
  readonly force?: boolean;
}
