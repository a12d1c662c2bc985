/**
 * Keeps our plugin in the node's CNI configuration: its program in place, our entry in the list that counts, and both
 * there again when somebody rewrote the list. It stays when the agent stops, so that no pod starts unmeshed meanwhile;
 * only `uninstall` takes it out.
 */
import { type FSWatcher, watch } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { asMeshError, type MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import {
  type ConfFile,
  filesWithPlugin,
  planInsertion,
  planRemoval,
  type PluginConf,
  pluginType,
} from './conf-files.ts';
import { readConfFiles, replaceFile } from './host-files.ts';

export interface CniDirectories {
  /** Where the container runtime reads network configurations: `/etc/cni/net.d`. */
  readonly confDir: string;
  /** Where it finds plugins: `/opt/cni/bin`. */
  readonly binDir: string;
}

export interface CniInstallerOptions extends CniDirectories {
  /** The plugin's program as it was built. */
  readonly program: string;
  readonly plugin: PluginConf;
}

export interface CniProblem {
  readonly error: MeshError;
  readonly since: number;
}

/** A rewrite comes as several events. */
const gatherMs = 50;
/** File watching can miss, and the directory may not be there yet. */
const lookAgainMs = 10_000;

export class CniInstaller {
  readonly #deps: { readonly clock: Clock; readonly log: Logger };
  readonly #options: CniInstallerOptions;
  #watcher: FSWatcher | undefined;
  #cancel: () => void = () => {};
  #working: Promise<void> = Promise.resolve();
  #stopped = false;
  #problem: CniProblem | undefined;

  constructor(deps: { readonly clock: Clock; readonly log: Logger }, options: CniInstallerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Why our plugin is not in place, while it is not. */
  get problem(): CniProblem | undefined {
    return this.#problem;
  }

  /** Resolves after the first attempt, whatever came of it; goes on until `stop`. */
  start(): Promise<void> {
    this.#look();
    return this.#working;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watcher?.close();
    this.#cancel();
    await this.#working;
  }

  #look(): void {
    this.#working = this.#install().then(
      () => this.#tell(undefined),
      (thrown: unknown) => this.#tell(asMeshError(thrown, 'SYSCALL', 'installing the CNI plugin')),
    );
    void this.#working.then(() => this.#lookIn(lookAgainMs));
  }

  #lookIn(delayMs: number): void {
    this.#cancel();
    if (!this.#stopped) this.#cancel = this.#deps.clock.after(delayMs, () => this.#look());
  }

  /** The program first: a list that names a plugin which is not there lets no pod start. */
  async #install(): Promise<void> {
    const { confDir, binDir, program, plugin } = this.#options;
    await this.#installProgram(join(binDir, pluginType), await readFile(program));
    this.#watch();
    const files = await readConfFiles(confDir);
    const { write, remove, problem } = planInsertion(files, plugin);
    for (const file of write) await this.#write(file, files);
    for (const name of remove) await rm(join(confDir, name), { force: true });
    if (problem !== undefined) throw problem;
  }

  async #installProgram(path: string, content: Buffer): Promise<void> {
    const installed = await readFile(path).catch(() => undefined);
    if (installed?.equals(content) !== true) await replaceFile(path, content, { mode: 0o755 });
  }

  async #write({ name, text }: ConfFile, read: readonly ConfFile[]): Promise<void> {
    const { confDir } = this.#options;
    const readText = read.find((file) => file.name === name)?.text;
    // Somebody who wrote in between is heard: their event brings us back.
    const stillWanted = async (): Promise<boolean> =>
      (await readConfFiles(confDir)).find((file) => file.name === name)?.text === readText;
    await replaceFile(join(confDir, name), text, { mode: 0o600, stillWanted });
    this.#deps.log.info({ file: join(confDir, name) }, 'put the CNI plugin into the network configuration');
  }

  #watch(): void {
    if (this.#watcher !== undefined || this.#stopped) return;
    try {
      this.#watcher = watch(this.#options.confDir, { persistent: false }, () => {
        void this.#working.then(() => this.#lookIn(gatherMs));
      });
      this.#watcher.on('error', () => this.#unwatch());
    } catch {
      // The directory is not there yet; it is looked for again.
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #tell(error: MeshError | undefined): void {
    const isNews = error?.message !== this.#problem?.error.message;
    const since = this.#problem?.since ?? this.#deps.clock.now();
    this.#problem = error === undefined ? undefined : { error, since };
    if (isNews && error !== undefined) {
      this.#deps.log.warn({ code: error.code, hint: error.hint }, error.message);
    }
  }
}

/** Lines for people, one a file that has to do with our plugin. */
export async function findCniPlugin({ confDir, binDir }: CniDirectories): Promise<readonly string[]> {
  const program = join(binDir, pluginType);
  const isThere = await readFile(program).then(
    () => true,
    () => false,
  );
  const files = filesWithPlugin(await readConfFiles(confDir)).map((name) => join(confDir, name));
  return [...files.map((path) => `CNI plugin in ${path}`), ...(isThere ? [`CNI plugin ${program}`] : [])];
}

/** The list first: one that names a plugin which is not there lets no pod start. */
export async function removeCniPlugin({ confDir, binDir }: CniDirectories): Promise<void> {
  const { write, remove } = planRemoval(await readConfFiles(confDir));
  for (const { name, text } of write) await replaceFile(join(confDir, name), text, { mode: 0o600 });
  for (const name of remove) await rm(join(confDir, name), { force: true });
  await rm(join(binDir, pluginType), { force: true });
}
