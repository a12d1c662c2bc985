/**
 * Runs a program in a pod through the API server, with its standard input open: the Kubernetes channel protocol over
 * a WebSocket, where the first byte of each message says which stream the rest belongs to. Ours rather than the client
 * library's, because that one hides why the API server refuses, and bounds neither waiting nor messages.
 * Source: k8s.io/apimachinery pkg/util/remotecommand, protocols v4 and v5.
 */
import type { IncomingMessage } from 'node:http';
import type { ClientOptions, WebSocket } from 'ws';
import { asMeshError, MeshError } from '../../base/errors.ts';
import { type ApiCall, apiError, noAnswer } from './api-error.ts';
import type { ApiServer } from './kube-client.ts';

export interface PodProgram {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly command: readonly [string, ...string[]];
}

/** A program that runs in a pod. */
export interface PodProcess {
  /** To its standard input. */
  send(text: string): void;
  /** Its input ends, and nothing more is heard of it. */
  close(): void;
}

export interface PodProcessEvents {
  stdout(chunk: Buffer): void;
  /** Once, unless it was closed before. */
  ended(end: ProcessEnd): void;
}

export type ProcessEnd =
  | { readonly type: 'exited'; readonly status: number; readonly stderr: string }
  /** It could not be started, or the connection broke. */
  | { readonly type: 'failed'; readonly error: MeshError };

/** v5 differs in what the client may close, which we never do: the input ends with the connection. */
const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const channels = { stdin: 0, stdout: 1, stderr: 2, status: 3 } as const;
/** The kubelet sends at most 32 KiB at a time. */
const maxMessageBytes = 4 * 1024 * 1024;
const maxRefusalBytes = 64 * 1024;
/** The first words of what a program complains about say enough. */
const maxStderrBytes = 4096;

/** Resolves when the API server has agreed. @throws MeshError by `api-refusal.ts`; anything when `signal` aborts */
export async function startInPod(
  server: ApiServer,
  program: PodProgram,
  events: PodProcessEvents,
  signal: AbortSignal,
): Promise<PodProcess> {
  const call: ApiCall = { verb: 'run a program in', path: `pod ${program.namespace}/${program.pod}` };
  const socket = await connect(server, program, signal);
  await agreed(server, call, socket, signal);
  return podProcess(socket, call, events);
}

async function connect(server: ApiServer, program: PodProgram, signal: AbortSignal): Promise<WebSocket> {
  const [{ WebSocket: Socket }, { tls, headers, proxyAgent }] = await Promise.all([
    import('ws'),
    server.current(),
  ]);
  signal.throwIfAborted();
  // With `servername` undefined the host's name would not be sent.
  const options: ClientOptions = {
    ...tls,
    headers: { 'user-agent': 'mesh-ebpf', ...headers },
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    ...(proxyAgent === undefined ? {} : { agent: proxyAgent }),
  };
  return new Socket(execUrl(server.server, program), protocols, options);
}

function execUrl(server: URL, { namespace, pod, container, command }: PodProgram): URL {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/exec`;
  const url = new URL(server.href.replace(/\/$/, '') + path);
  url.protocol = server.protocol === 'http:' ? 'ws:' : 'wss:';
  for (const stream of ['stdin', 'stdout', 'stderr']) url.searchParams.set(stream, 'true');
  url.searchParams.set('container', container);
  for (const word of command) url.searchParams.append('command', word);
  return url;
}

async function agreed(
  server: ApiServer,
  call: ApiCall,
  socket: WebSocket,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(asMeshError(signal.reason));
  signal.addEventListener('abort', abort, { once: true });
  socket.once('open', resolve);
  // Stays: what is left of a connection that was given up must not end the program.
  socket.on('error', (cause) => reject(noAnswer(call, server.server.host, cause)));
  socket.once('unexpected-response', (_request, response: IncomingMessage) => {
    void refusal(response).then(({ status, body }) => {
      if (status === 401) server.renew();
      reject(withExecRule(apiError(call, status, body)));
    }, reject);
  });
  try {
    await promise;
  } catch (thrown) {
    socket.terminate();
    throw thrown;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function refusal(
  response: IncomingMessage,
): Promise<{ readonly status: number; readonly body: unknown }> {
  let text = '';
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length > maxRefusalBytes) break;
  }
  return { status: response.statusCode ?? 0, body: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text.slice(0, 200) };
  }
}

/** A WebSocket is opened by GET, and newer API servers ask for the right to create as well: one needs both. */
function withExecRule(error: MeshError): MeshError {
  if (!(error.hint?.includes('pods/exec') ?? false)) return error;
  return new MeshError(error.code, error.message, {
    hint: (error.hint ?? '').replace(/verbs: \[[^\]]*\]/, 'verbs: ["get", "create"]'),
    details: error.details,
  });
}

function podProcess(socket: WebSocket, call: ApiCall, events: PodProcessEvents): PodProcess {
  const stderr: Buffer[] = [];
  let listening = true;
  const end = (how: ProcessEnd): void => {
    if (!listening) return;
    listening = false;
    socket.terminate();
    events.ended(how);
  };
  socket.on('message', (data: Buffer) => {
    if (!listening) return;
    const rest = data.subarray(1);
    switch (data[0]) {
      case channels.stdout:
        events.stdout(rest);
        break;
      case channels.stderr:
        if (sizeOf(stderr) < maxStderrBytes) stderr.push(rest.subarray(0, maxStderrBytes));
        break;
      case channels.status:
        end(endOf(call, rest.toString(), Buffer.concat(stderr).toString()));
        break;
      default:
        // Channels that close, or that this protocol does not have.
        break;
    }
  });
  socket.on('error', (cause) => end(cut(call, cause)));
  socket.on('close', () => end(cut(call)));
  return {
    send: (text) =>
      socket.send(Buffer.concat([Buffer.of(channels.stdin), Buffer.from(text)]), { binary: true }),
    close: () => {
      listening = false;
      socket.close();
    },
  };
}

const sizeOf = (chunks: readonly Buffer[]): number => chunks.reduce((sum, { length }) => sum + length, 0);

const cut = (call: ApiCall, cause?: Error): ProcessEnd => ({
  type: 'failed',
  error: new MeshError('UNAVAILABLE', `the connection to the ${call.path} broke`, {
    cause,
    hint: 'the pod or its node may be restarting; try again',
  }),
});

/** The `metav1.Status` that ends every program. */
interface EndStatus {
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
}

function endOf(call: ApiCall, text: string, stderr: string): ProcessEnd {
  const status = (parsed(text) ?? {}) as EndStatus;
  if (status.status === 'Success') return { type: 'exited', status: 0, stderr };
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  if (status.reason === 'NonZeroExitCode' && code !== undefined && /^\d{1,3}$/.test(code)) {
    return { type: 'exited', status: Number(code), stderr };
  }
  const said = (status.message ?? 'no reason given').slice(0, 1000);
  const error = new MeshError(
    'UNAVAILABLE',
    `the node’s container runtime cannot ${call.verb} ${call.path}: ${said}`,
  );
  return { type: 'failed', error };
}
