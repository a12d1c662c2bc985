/** The node's two TCP endpoints for machines: Prometheus metrics, and readiness for kubelet or a load balancer. */
import type { IncomingMessage } from 'node:http';
import type { Logger } from '../base/log.ts';
import { type Answer, type RunningServer, startHttpServer } from './http-server.ts';
import type { Metrics } from './metrics.ts';
import { prepareSocketPath, protectSocket } from './root-socket.ts';
import type { Readiness } from './readiness.ts';

export interface ListenAt {
  /** Absent: all addresses, IPv6 and IPv4. */
  readonly host?: string;
  /** 0: any free port. */
  readonly port: number;
}

/** A unix socket. */
export interface SocketPath {
  readonly path: string;
}

const text = 'text/plain; charset=utf-8';

/** `GET /metrics`, and `/stats/prometheus` as Istio's scrape annotations say. */
export async function startMetricsServer(
  metrics: Metrics,
  at: ListenAt,
  log: Logger,
): Promise<RunningServer> {
  const answer = async (): Promise<Answer> => ({
    status: 200,
    contentType: metrics.registry.contentType,
    body: await metrics.render(),
  });
  return await startHttpServer({
    listen: at,
    log,
    answer: onPaths(['/metrics', '/stats/prometheus'], answer),
  });
}

/** `GET /healthz/ready`: 200, or 503 with a line for each task that is still under way. */
export async function startReadinessServer(
  readiness: Readiness,
  at: ListenAt | SocketPath,
  log: Logger,
): Promise<RunningServer> {
  const answer = (): Answer => {
    const { ready, pending } = readiness.state();
    if (ready) return { status: 200, contentType: text, body: 'ready\n' };
    return { status: 503, contentType: text, body: pending.map((task) => `not ready: ${task}\n`).join('') };
  };
  if ('path' in at) await prepareSocketPath(at.path);
  const server = await startHttpServer({ listen: at, log, answer: onPaths(['/healthz/ready'], answer) });
  if ('path' in at) await protectSocket(at.path);
  return server;
}

function onPaths(
  paths: readonly string[],
  answer: () => Answer | Promise<Answer>,
): (request: IncomingMessage) => Promise<Answer> {
  return async (request) => {
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    if (!paths.includes(path)) return { status: 404, contentType: text, body: `try ${paths.join(' or ')}\n` };
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return { status: 405, contentType: text, body: 'only GET\n' };
    }
    return await answer();
  };
}
