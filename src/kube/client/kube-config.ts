/**
 * Which API server, and as whom: a kubeconfig (`KUBECONFIG`, `~/.kube/config`) with everything the library knows about
 * logging in, or the files that every pod has. Loaded when first needed: most commands never are.
 */
import { readFileSync } from 'node:fs';
import type { Agent, RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { ApiAccess, ApiServer } from './kube-client.ts';

export interface KubeConfigOptions {
  /** A file, instead of the usual ones. */
  readonly kubeconfig?: string;
  /** One of its contexts, instead of the current one. */
  readonly context?: string;
}

/** For commands of people. @throws MeshError NOT_FOUND or INVALID_ARGUMENT */
export async function fromKubeconfig(options: KubeConfigOptions = {}): Promise<ApiServer> {
  return await apiServer('set KUBECONFIG, or give --kubeconfig FILE', (config) => {
    if (options.kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(options.kubeconfig);
    if (options.context !== undefined) selectContext(config, options.context);
    if (options.kubeconfig !== undefined) useTokenFile(config, options.kubeconfig);
  });
}

/**
 * For processes in a pod; the token is read again as it changes. `root` is where the pod's files are.
 * @throws MeshError NOT_FOUND outside of one
 */
export async function fromPod(root = ''): Promise<ApiServer> {
  return await apiServer('run it in a pod with a service account', (config) => config.loadFromCluster(root));
}

async function apiServer(hint: string, fill: (config: KubeConfig) => void): Promise<ApiServer> {
  const { KubeConfig: Config } = await import('@kubernetes/client-node');
  const load = (): KubeConfig => {
    const config = new Config();
    readInto(config, fill);
    return config;
  };
  let config = load();
  const url = config.getCurrentCluster()?.server;
  if (url === undefined || !URL.canParse(url)) {
    throw new MeshError('NOT_FOUND', 'there is no API server to be found', { hint });
  }
  return {
    server: new URL(url),
    current: async () => await accessOf(config),
    renew: () => {
      try {
        config = load();
      } catch {
        // A file that is just being replaced: what is known is tried once more, and then the file.
      }
    },
  };
}

function readInto(config: KubeConfig, fill: (config: KubeConfig) => void): void {
  try {
    fill(config);
  } catch (thrown) {
    const { message } = asMeshError(thrown);
    throw asMeshError(thrown, 'INVALID_ARGUMENT', `the kubeconfig cannot be used: ${message}`);
  }
}

/** kubectl's `tokenFile`, which the library knows by a name that no kubeconfig has. It reads it again as it changes. */
function useTokenFile(config: KubeConfig, file: string): void {
  const user = config.getCurrentUser();
  const { users = [] } = parse(readFileSync(file, 'utf8')) as {
    users?: { name?: string; user?: { tokenFile?: string } }[];
  };
  const tokenFile = users.find(({ name }) => name === user?.name)?.user?.tokenFile;
  if (user === null || tokenFile === undefined) return;
  const path = resolve(dirname(file), tokenFile);
  const authProvider = { name: 'tokenFile', config: { tokenFile: path } };
  const { token: _, ...others } = user;
  config.users = config.users.map((known) => (known === user ? { ...others, authProvider } : known));
}

function selectContext(config: KubeConfig, context: string): void {
  const known = config.getContexts().map(({ name }) => name);
  if (!known.includes(context)) {
    throw new MeshError('INVALID_ARGUMENT', `the kubeconfig has no context "${context}"`, {
      hint: `it has ${known.join(', ') || 'none'}`,
    });
  }
  config.setCurrentContext(context);
}

async function accessOf(config: KubeConfig): Promise<ApiAccess> {
  const options: RequestOptions = {};
  try {
    await config.applyToHTTPSOptions(options);
  } catch (thrown) {
    throw new MeshError('PERMISSION', `logging in to the cluster failed: ${asMeshError(thrown).message}`, {
      cause: thrown,
    });
  }
  const { ca, cert, key, servername, rejectUnauthorized, agent, auth } = options;
  return {
    tls: present({ ca, cert, key, servername, rejectUnauthorized }),
    headers: { ...basicAuth(auth), ...headersOf(options) },
    proxyAgent: config.getCurrentCluster()?.proxyUrl === undefined ? undefined : (agent as Agent),
  };
}

const present = (tls: ApiAccess['tls']): ApiAccess['tls'] =>
  Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));

const basicAuth = (auth: string | null | undefined): Readonly<Record<string, string>> =>
  typeof auth === 'string' ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};

/** Files end with a newline, which no header may hold. */
const headersOf = ({ headers }: RequestOptions): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value).trim()]),
  );
