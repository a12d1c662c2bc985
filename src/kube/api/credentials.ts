/**
 * Who this process is to the API server. Reading kubeconfig files and running their credential plugins is the
 * client library's; it is loaded only where an API is used, for it is a third of a small process's memory.
 */
import { readFileSync } from 'node:fs';
import type { Agent, RequestOptions } from 'node:https';
import { dirname } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { asMeshError, MeshError } from '../../base/errors.ts';

export type ApiLocation =
  | { readonly type: 'kubeconfig'; readonly file: string }
  /** From inside a pod; `server` as its environment says, `https://10.96.0.1:443`. */
  | { readonly type: 'in-cluster'; readonly server: string; readonly directory: string };

export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized: boolean;
}

export interface ApiAccess {
  readonly tls: TlsFiles;
  readonly headers: Readonly<Record<string, string>>;
  /** Set where the way leads through a proxy. */
  readonly proxyAgent: Agent | undefined;
}

export interface ApiCredentials {
  readonly server: URL;
  /** What to present now: certificate files are read again each time, token files once a minute. */
  current(): Promise<ApiAccess>;
  /** Reads everything again: the server did not accept what was presented. */
  renew(): void;
}

/** Where Kubernetes mounts a pod's token. */
export const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

/** @throws MeshError INVALID_ARGUMENT for a kubeconfig that cannot be used */
export async function loadCredentials(location: ApiLocation): Promise<ApiCredentials> {
  const { KubeConfig: Config } = await import('@kubernetes/client-node');
  const load = (): KubeConfig => {
    const config = new Config();
    if (location.type === 'kubeconfig') loadKubeconfig(config, location.file);
    else loadInCluster(config, location);
    return config;
  };
  let config = load();
  return {
    server: serverOf(config, location),
    current: () => accessOf(config),
    renew: () => {
      try {
        config = load();
      } catch {
        // A file that is just being replaced: what is known is tried once more, and then the file.
      }
    },
  };
}

function loadInCluster(
  config: KubeConfig,
  { server, directory }: Extract<ApiLocation, { type: 'in-cluster' }>,
): void {
  config.loadFromOptions({
    clusters: [{ name: 'cluster', server, caFile: `${directory}/ca.crt`, skipTLSVerify: false }],
    users: [tokenFileUser('pod', `${directory}/token`)],
    contexts: [{ name: 'context', cluster: 'cluster', user: 'pod' }],
    currentContext: 'context',
  });
}

/** The library knows how to re-read a token file, but only by a name that no kubeconfig uses. */
const tokenFileUser = (name: string, tokenFile: string) => ({
  name,
  authProvider: { name: 'tokenFile', config: { tokenFile } },
});

function loadKubeconfig(config: KubeConfig, file: string): void {
  try {
    const text = readFileSync(file, 'utf8');
    config.loadFromString(text);
    config.makePathsAbsolute(dirname(file));
    const tokenFile = tokenFileOf(parse(text), config.getCurrentUser()?.name);
    if (tokenFile !== undefined) {
      const others = config.users.filter(({ name }) => name !== config.getCurrentUser()?.name);
      config.users = [...others, tokenFileUser(config.getCurrentUser()?.name ?? '', tokenFile)];
    }
  } catch (error) {
    throw invalidKubeconfig(file, asMeshError(error).message);
  }
}

function tokenFileOf(kubeconfig: unknown, user: string | undefined): string | undefined {
  const { users = [] } = kubeconfig as { users?: { name?: string; user?: { tokenFile?: string } }[] };
  return users.find(({ name }) => name === user)?.user?.tokenFile;
}

const invalidKubeconfig = (file: string, reason: string): MeshError =>
  new MeshError('INVALID_ARGUMENT', `${file} cannot be used: ${reason}`, {
    hint: `kubectl --kubeconfig ${file} get namespaces must work`,
  });

function serverOf(config: KubeConfig, location: ApiLocation): URL {
  const server = config.getCurrentCluster()?.server;
  if (server !== undefined && URL.canParse(server)) return new URL(server);
  const file = location.type === 'kubeconfig' ? location.file : location.server;
  throw invalidKubeconfig(file, 'its current context names no cluster with a server');
}

async function accessOf(config: KubeConfig): Promise<ApiAccess> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const { ca, cert, key, servername, rejectUnauthorized, agent, auth } = options;
  const basic =
    typeof auth === 'string' ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};
  return {
    tls: {
      ...present({ ca, cert, key }),
      ...(servername === undefined ? {} : { servername }),
      rejectUnauthorized: rejectUnauthorized !== false,
    },
    headers: { ...basic, ...headersOf(options) },
    proxyAgent: config.getCurrentCluster()?.proxyUrl === undefined ? undefined : (agent as Agent),
  };
}

const present = (files: Readonly<Record<string, unknown>>): Pick<TlsFiles, 'ca' | 'cert' | 'key'> =>
  Object.fromEntries(Object.entries(files).filter(([, value]) => Buffer.isBuffer(value)));

/** Files end with a newline, which no header may hold. */
const headersOf = ({ headers }: RequestOptions): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value).trim()]),
  );
