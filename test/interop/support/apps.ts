/** The applications of a test (`app.ts`) from outside: start servers, make exchanges, and pair what both ends saw. */
import type { EndReport, ExchangeRequest } from './app.ts';
import { type Place, type Process, script, waitFor } from './processes.ts';
import type { Topology } from './topology.ts';

const appUrl = new URL('./app.ts', import.meta.url);

export const ports = { open: 8080, guarded: 9090 } as const;

/** The two ends' accounts of one connection; `server` is undefined if the server never saw it. */
export interface Exchange {
  readonly client: EndReport;
  readonly server: EndReport | undefined;
}

/** An application that serves both ports in its place. */
export async function serveApp(topology: Topology, name: string, place: Place): Promise<Process> {
  const argv = script(appUrl, 'serve', String(ports.open), String(ports.guarded));
  const server = topology.start(`server-${name}`, place, argv);
  await server.waitForOutput(/"listening"/);
  return server;
}

let count = 0;

type Wanted = Pick<ExchangeRequest, 'host'> & Partial<ExchangeRequest>;

export interface Exchanging {
  readonly topology: Topology;
  readonly from: Place;
  readonly server: Process;
}

/** Starts a client; `finished` resolves with an exchange for each connection. */
export function startExchange({ topology, from, server }: Exchanging, wanted: Wanted) {
  const request: ExchangeRequest = {
    port: ports.open,
    id: `exchange-${process.pid}-${count++}`,
    connections: 1,
    concurrency: wanted.connections ?? 1,
    up: 1000,
    down: 1000,
    order: 'together',
    pauseMs: 0,
    abort: false,
    ...wanted,
  };
  const client = topology.start(request.id, from, script(appUrl, 'exchange', JSON.stringify(request)));
  const finished = async (): Promise<readonly Exchange[]> => {
    await client.ended(240_000);
    const clients = reports(client, request.id);
    if (clients.length !== request.connections) throw new Error(`the client failed:\n${client.output()}`);
    const arrived = clients.filter(({ received, sent }) => received > 0 || sent > 0);
    if (clients.every(({ outcome }) => outcome === 'ended')) {
      await waitFor(
        'the server to see the end of all',
        () => reports(server, request.id).length >= arrived.length,
      );
    }
    const servers = new Map(reports(server, request.id).map((report) => [report.id, report]));
    return clients.map((report) => ({ client: report, server: servers.get(report.id) }));
  };
  return { request, client, finished };
}

export const exchange = (parties: Exchanging, wanted: Wanted): Promise<readonly Exchange[]> =>
  startExchange(parties, wanted).finished();

const reports = (app: Process, id: string): readonly EndReport[] =>
  app
    .lines()
    .map((line) => line as unknown as EndReport)
    .filter((report) => typeof report.id === 'string' && report.id.startsWith(`${id}-`));

/** GETs a URL inside a place, as JSON. */
export async function getJson<T>(topology: Topology, place: Place, url: string): Promise<T> {
  const got = await topology.run(place, script(appUrl, 'get', url));
  return JSON.parse(got.output()) as T;
}

/** How an exchange of these sizes looks when nothing was lost, changed or cut, to compare with. */
export const whole = ({ client, server }: Exchange) => ({
  outcome: [client.outcome, server?.outcome],
  up: [client.sent, server?.received],
  down: [client.received, server?.sent],
  upHashesEqual: client.sentSha256 === server?.receivedSha256,
  downHashesEqual: client.receivedSha256 === server?.sentSha256,
});

export const wholeOf = (up: number, down: number) => ({
  outcome: ['ended', 'ended'],
  up: [up, up],
  down: [down, down],
  upHashesEqual: true,
  downHashesEqual: true,
});
