/**
 * What our plugin's place in a node's CNI configuration takes: which file counts, and how it reads with us in it. Pure.
 * The first file by name is the one container runtimes use (containerd's go-cni, CRI-O). A list of plugins gets ours at
 * its end. A file of the older kind holds one plugin and cannot be a list: a list of our own, before it by name, holds
 * both. Everything that is not ours keeps its meaning: numbers are not even parsed.
 */
import { MeshError } from '../../base/errors.ts';

/** `type` of the plugin: the name of its program. */
export const pluginType = 'mesh-ebpf-cni';
const ownList = '00-mesh-ebpf.conflist';

export interface ConfFile {
  readonly name: string;
  readonly text: string;
}

/** Our entry in a list of plugins; what the plugin reads of it is in `native/cni/config.c`. */
export interface PluginConf {
  readonly type: typeof pluginType;
  readonly socket: string;
  readonly waitSeconds: number;
  readonly excludeNamespaces: readonly string[];
}

/** What to do with the directory; nothing at all when it is as it should be. */
export interface ConfPlan {
  readonly write: readonly ConfFile[];
  readonly remove: readonly string[];
  /** Why our plugin is in no configuration that counts. */
  readonly problem: MeshError | undefined;
}

/** Whether container runtimes read a file of this name. */
export const isConfName = (name: string): boolean => /\.(conf|conflist|json)$/.test(name);

/** @param files all that `isConfName`, in any order */
export function planInsertion(files: readonly ConfFile[], plugin: PluginConf): ConfPlan {
  const own = files.find(({ name }) => name === ownList);
  const [first] = files.filter((file) => file !== own).toSorted(byName);
  const dropOwn = own === undefined ? [] : [ownList];
  if (first === undefined) return { write: [], remove: dropOwn, problem: noNetwork() };
  try {
    const wanted = withPlugin(first, plugin);
    const current = files.find(({ name }) => name === wanted.name);
    const write = current !== undefined && sameMeaning(current.text, wanted.text) ? [] : [wanted];
    return { write, remove: wanted.name === ownList ? [] : dropOwn, problem: undefined };
  } catch (error) {
    if (error instanceof MeshError) return { write: [], remove: [], problem: error };
    throw error;
  }
}

/** Takes our plugin out of every file. What cannot be understood cannot hold it. */
export function planRemoval(files: readonly ConfFile[]): Omit<ConfPlan, 'problem'> {
  const others = files.filter(({ name }) => name !== ownList);
  return {
    write: others.flatMap((file) => withoutPlugin(file) ?? []),
    remove: others.length < files.length ? [ownList] : [],
  };
}

/** Names of the files that our plugin is in. */
export const filesWithPlugin = (files: readonly ConfFile[]): readonly string[] => {
  const { write, remove } = planRemoval(files);
  return [...write.map(({ name }) => name), ...remove];
};

const byName = (a: ConfFile, b: ConfFile): number => (a.name < b.name ? -1 : 1);

type JsonObject = Readonly<Record<string, unknown>>;

function withPlugin(file: ConfFile, plugin: PluginConf): ConfFile {
  const conf = parseConf(file);
  assertChainable(file.name, conf);
  if (file.name.endsWith('.conflist')) {
    const plugins = [...pluginsOf(file.name, conf).filter((one) => !isOurs(one)), plugin];
    return { name: file.name, text: print({ ...conf, plugins }) };
  }
  if (typeof conf['type'] !== 'string') throw unusable(file.name, 'it names no plugin: "type" is missing');
  if (file.name <= ownList) {
    throw unusable(file.name, `it comes before ${ownList} by name, so that no list can take its place`);
  }
  const { cniVersion, name } = conf;
  return { name: ownList, text: print({ cniVersion, name, plugins: [conf, plugin] }) };
}

function withoutPlugin(file: ConfFile): ConfFile | undefined {
  try {
    const conf = parseConf(file);
    const plugins = pluginsOf(file.name, conf);
    if (!plugins.some(isOurs)) return undefined;
    return { name: file.name, text: print({ ...conf, plugins: plugins.filter((one) => !isOurs(one)) }) };
  } catch {
    return undefined;
  }
}

const isOurs = (plugin: unknown): boolean => isObject(plugin) && plugin['type'] === pluginType;

function pluginsOf(name: string, { plugins }: JsonObject): readonly unknown[] {
  const isList = Array.isArray(plugins) && plugins.length > 0;
  if (isList && plugins.every((one) => isObject(one) && typeof one['type'] === 'string')) return plugins;
  throw unusable(name, '"plugins" is not a list of plugins');
}

/** Plugins hear of each other's results since CNI 0.3.0. */
function assertChainable(file: string, { cniVersion, name }: JsonObject): void {
  if (typeof name !== 'string') throw unusable(file, 'the network has no name');
  if (typeof cniVersion === 'string' && /^(0\.3\.[01]|0\.4\.0|1\.[01]\.0)$/.test(cniVersion)) return;
  throw unusable(
    file,
    `its cniVersion ${JSON.stringify(cniVersion) ?? '(none)'} has no chained plugins we know of`,
  );
}

function parseConf({ name, text }: ConfFile): JsonObject {
  let value: unknown;
  try {
    value = parseExactly(text);
  } catch (cause) {
    throw unusable(name, `it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (!isObject(value)) throw unusable(name, 'it is not a JSON object');
  return value;
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const unusable = (name: string, why: string): MeshError =>
  new MeshError('INVALID_MANIFEST', `CNI configuration ${name}: ${why}; left as it is`, {
    hint: 'pods of this node start without waiting for the mesh until the file is mended; it is watched',
  });

const noNetwork = (): MeshError =>
  new MeshError('NOT_FOUND', 'no CNI configuration of the cluster’s network is there (yet)', {
    hint: 'has the cluster a network plugin? --cni-conf-dir must be the directory the container runtime reads',
  });

const sameMeaning = (a: string, b: string): boolean => {
  try {
    return print(parseExactly(a)) === print(parseExactly(b));
  } catch {
    return false;
  }
};

const print = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

/** In Node since 21, missing in TypeScript's library: numbers as they were written, however large or precise. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown };
type Reviver = (this: unknown, key: string, value: unknown, context: { readonly source: string }) => unknown;

const keepNumbers: Reviver = (_key, value, { source }) =>
  typeof value === 'number' ? rawJSON(source) : value;

const parseExactly = (text: string): unknown =>
  JSON.parse(text, keepNumbers as Parameters<typeof JSON.parse>[1]);
