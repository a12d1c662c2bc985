/** Asks a pod once whether it is ready, from the node's network namespace, as a kubelet does. */
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Pod, Probe } from '../../kube/objects.ts';
import { containerPort } from '../plan/endpoint-slices.ts';
import { probeTimeoutMs } from '../plan/probe-state.ts';

/** False for everything but a good answer in time. */
export function checkProbe(probe: Probe, pod: Pod): Promise<boolean> {
  const { tcpSocket, httpGet } = probe;
  const wanted = httpGet?.port ?? tcpSocket?.port;
  const port = typeof wanted === 'string' ? containerPort(pod, wanted) : wanted;
  const host = httpGet?.host ?? tcpSocket?.host ?? pod.status?.podIP;
  if (port === undefined || host === undefined) return Promise.resolve(false);
  const target = { host, port, timeoutMs: probeTimeoutMs(probe) };
  return httpGet === undefined ? checkTcp(target) : checkHttp(target, httpGet);
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}

function checkTcp({ host, port, timeoutMs }: Target): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const finish = (succeeded: boolean) => (): void => {
      resolve(succeeded);
      socket.destroy();
    };
    socket.on('connect', finish(true)).on('timeout', finish(false)).on('error', finish(false));
  });
}

/** 200 to 399 is ready; redirects are not followed. */
function checkHttp(
  { host, port, timeoutMs }: Target,
  probe: NonNullable<Probe['httpGet']>,
): Promise<boolean> {
  const headers = Object.fromEntries((probe.httpHeaders ?? []).map(({ name, value }) => [name, value]));
  const signal = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve) => {
    const path = probe.path ?? '/';
    const asked = request({ host, port, path, headers, signal, agent: false }, (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      resolve(status >= 200 && status < 400);
    });
    asked.on('error', () => resolve(false));
    asked.end();
  });
}
