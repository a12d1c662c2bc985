/**
 * A foreign HBONE client made of Node's own HTTP/2, for attacks: reads one JSON request from standard input, sends
 * CONNECT, and prints what came of it as JSON. Takes any certificate, any authority and any headers.
 */
import { connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { text } from 'node:stream/consumers';

export interface HboneRequest {
  /** `IPV4:15008` of a pod. */
  readonly via: string;
  /** PEM; absent: no client certificate. */
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
  readonly alpn?: string;
  readonly authority: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface HboneAnswer {
  readonly status?: number;
  /** The first line the application said. */
  readonly said?: string;
  readonly error?: string;
}

const request = JSON.parse(await text(process.stdin)) as HboneRequest;
process.stdout.write(`${JSON.stringify(await attempt(request))}\n`, () => process.exit(0));

function attempt({
  via,
  cert,
  key,
  ca,
  alpn = 'h2',
  authority,
  headers,
}: HboneRequest): Promise<HboneAnswer> {
  return new Promise((resolve) => {
    const give = (answer: HboneAnswer): void => resolve(answer);
    const identity = cert === undefined ? {} : { cert, key, ca };
    const [host = '', port = ''] = via.split(':');
    const options = {
      ...identity,
      host,
      port: Number(port),
      ALPNProtocols: [alpn],
      rejectUnauthorized: false,
    };
    // A connection of our own making: http2.connect() would speak h2 whatever it is told.
    const session = connect(`https://${via}`, { createConnection: () => connectTls(options) });
    setTimeout(() => give({ error: 'timeout' }), 8000);
    session.on('error', (error: NodeJS.ErrnoException) => give({ error: error.code ?? error.message }));
    session.on('close', () => give({ error: 'closed' }));
    const stream = session.request({ ':method': 'CONNECT', ':authority': authority, ...headers });
    stream.on('error', (error: NodeJS.ErrnoException) => give({ error: error.code ?? error.message }));
    stream.on('response', (answer: IncomingHttpHeaders & IncomingHttpStatusHeader) => {
      const status = answer[':status'] ?? 0;
      if (status !== 200) return give({ status });
      stream.once('data', (data: Buffer) => give({ status, said: data.toString().trimEnd() }));
    });
  });
}
