/** Many requests to the API server, some at a time: the test cluster's client makes one after the other. */
import { KubeConfig } from '@kubernetes/client-node';
import { Agent, request } from 'node:https';

export interface Call {
  readonly method: 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body: object;
}

/** More than the API server does at a time on this machine. */
const atOnce = 16;
const patienceMs = 60_000;

const pem = (data: string | undefined): Buffer => Buffer.from(data ?? '', 'base64');

export class BulkApi implements Disposable {
  readonly #server: URL;
  readonly #agent: Agent;

  constructor(kubeconfigFile: string) {
    const kubeconfig = new KubeConfig();
    kubeconfig.loadFromFile(kubeconfigFile);
    const server = kubeconfig.getCurrentCluster()?.server;
    if (server === undefined) throw new Error(`${kubeconfigFile} names no server`);
    this.#server = new URL(server);
    const [cluster, user] = [kubeconfig.getCurrentCluster(), kubeconfig.getCurrentUser()];
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: atOnce,
      ca: pem(cluster?.caData),
      cert: pem(user?.certData),
      key: pem(user?.keyData),
    });
  }

  /** All of them, in about this order. @throws Error with the server's words for the first that fails */
  async all(calls: readonly Call[]): Promise<void> {
    const rest = calls.values();
    const worker = async (): Promise<void> => {
      for (const call of rest) await this.call(call);
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
  }

  /** The answer. @throws Error with the server's words */
  async call({ method, path, body }: Call): Promise<unknown> {
    const type = `application/${method === 'PATCH' ? 'merge-patch+json' : 'json'}`;
    const { status, text } = await this.#exchange(method, path, type, JSON.stringify(body));
    if (status < 300) return JSON.parse(text);
    throw new Error(`${method} ${path}: HTTP ${status}: ${text.slice(0, 300)}`);
  }

  #exchange(
    method: string,
    path: string,
    type: string,
    body: string,
  ): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = this.#server;
      const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) };
      const options = { agent: this.#agent, hostname, port, path, method, headers, timeout: patienceMs };
      const sent = request(options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text })).on('error', reject);
      });
      sent.on('timeout', () => sent.destroy(new Error(`no answer in ${patienceMs / 1000} s`)));
      sent.on('error', (error) => reject(new Error(`${method} ${path}: ${error.message}`)));
      sent.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
