/** The applications of the scenarios: fortio as echo server and client, one pod a node. */
import { MeshError } from '../../../src/base/errors.ts';
import { fortioImage } from '../artifacts/build.ts';
import type { ClusterApi } from './api.ts';
import { eventually } from './eventually.ts';
import { execInPod, type PodRef } from './pod-exec.ts';

export const ports = { http: 8080, grpc: 8079, tcp: 8078, udp: 8078 } as const;

/** A pod of the name on every node, and a Service of the name in front of them. */
export const echoManifest = (namespace: string, name: string): string => `
apiVersion: v1
kind: Namespace
metadata: { name: ${namespace} }
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: fortio
          image: ${fortioImage}
          imagePullPolicy: IfNotPresent
          args: [server]
          ports:
            - { name: http, containerPort: ${ports.http} }
            - { name: grpc, containerPort: ${ports.grpc} }
            - { name: tcp, containerPort: ${ports.tcp} }
          readinessProbe:
            httpGet: { path: /fortio/fortio/ready, port: http }
            periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  selector: { app: ${name} }
  ipFamilyPolicy: PreferDualStack
  ports:
    - { name: http, port: 80, targetPort: http }
    - { name: grpc, port: ${ports.grpc}, targetPort: grpc }
    - { name: tcp, port: ${ports.tcp}, targetPort: tcp }
`;

/** Name of the pod that answered. @throws MeshError UNAVAILABLE with the client's words */
export const askWho = async (api: ClusterApi, from: PodRef, url: string): Promise<string> =>
  (await askAbout(api, from, url)).pod;

/** The client's address as the server sees it. @throws MeshError UNAVAILABLE with the client's words */
export const askFrom = async (api: ClusterApi, from: PodRef, url: string): Promise<string> =>
  (await askAbout(api, from, url)).client;

async function askAbout(api: ClusterApi, from: PodRef, url: string) {
  const text = await fortio(api, from, ['curl', '-quiet', '-timeout', '5s', `${url}/debug`]);
  const [, pod, client] = / on (\S+) - request from (\S+):\d+/.exec(text) ?? [];
  if (pod !== undefined && client !== undefined) return { pod, client: client.replace(/^\[|\]$/g, '') };
  throw new MeshError('UNAVAILABLE', `${url} did not say who it is: ${text.slice(0, 300)}`);
}

/** Sends a text and returns what came back. @throws MeshError UNAVAILABLE with the client's words */
export const echo = (api: ClusterApi, from: PodRef, url: string, text: string): Promise<string> =>
  fortio(api, from, ['curl', '-quiet', '-timeout', '5s', '-payload', text, url]);

export interface Load {
  /** By HTTP status, or for gRPC and TCP by fortio's words, how many calls. */
  readonly results: Readonly<Record<string, number>>;
}

/** As many calls as asked, one after the other. */
export async function load(api: ClusterApi, from: PodRef, calls: number, ...target: string[]): Promise<Load> {
  const args = ['load', '-quiet', '-c', '1', '-qps', '0', '-n', String(calls), '-json', '-', ...target];
  const { RetCodes: results = {} } = JSON.parse(await fortio(api, from, args)) as {
    readonly RetCodes?: Readonly<Record<string, number>>;
  };
  return { results };
}

export interface LongRun {
  /** Ends it. How many calls had which result, and how many connections they took. */
  stop(): Promise<Load & { readonly connections: number }>;
}

/**
 * Calls, 20 a second on one connection for as long as it lives, until it is stopped: the server in the pod makes them.
 * Resolves when they are under way.
 */
export async function startCalls(api: ClusterApi, from: PodRef, url: string): Promise<LongRun> {
  const query = new URLSearchParams({ url, qps: '20', c: '1', t: 'on' });
  const result = fortio(api, from, rest(`run?${query.toString()}`), longRunTimeoutMs);
  // Told when it is stopped; until then nobody listens.
  result.catch(() => {});
  await eventually(
    `${from.name} is calling`,
    () => fortio(api, from, rest('status')),
    (status) => status.includes('"State":2'),
    30_000,
  );
  return {
    async stop() {
      await fortio(api, from, rest('stop?wait=on'));
      const text = await result;
      const { RetCodes: results, SocketCount: connections } = JSON.parse(
        text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1),
      ) as { readonly RetCodes: Load['results']; readonly SocketCount: number };
      return { results, connections };
    },
  };
}

/** A request to the server's own interface, from inside its pod. */
const rest = (path: string): readonly string[] => [
  'curl',
  '-quiet',
  '-timeout',
  '10m',
  `http://localhost:${ports.http}/fortio/rest/${path}`,
];

const longRunTimeoutMs = 10 * 60_000;

async function fortio(
  api: ClusterApi,
  from: PodRef,
  args: readonly string[],
  timeoutMs?: number,
): Promise<string> {
  const command = ['/usr/bin/fortio', ...args];
  const { succeeded, stdout, stderr } = await execInPod(api, from, command, timeoutMs);
  if (succeeded) return stdout;
  throw new MeshError('UNAVAILABLE', `fortio ${args.join(' ')}: ${(stderr || stdout).trim().slice(-500)}`);
}
