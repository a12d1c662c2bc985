/**
 * The yardstick in C: an HAProxy in each pod, mutual TLS 1.3 between the two, no HTTP/2. The client dials its own
 * pod's loopback, the server's HAProxy dials its own. Every connection is a full handshake, as every connection is
 * authenticated: session tickets are off.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabPod } from '../lab.ts';
import { bulkPort, echoPorts } from '../manifest.ts';
import { daemon } from '../process.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { waitUntilListening } from './listening.ts';
import type { Variant, VariantContext } from './variant.ts';

/** The TLS port of a server's port. */
const tlsOffset = 10_000;

const common = `global
    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
    ssl-default-server-options ssl-min-ver TLSv1.3 no-tls-tickets
    maxconn 8000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
`;

const clientConfig = (server: string, { root, leaf }: Certificates): string => `${common}
listen outbound
    bind 127.0.0.1:${echoPorts.first}-${lastEchoPort}
    bind 127.0.0.1:${bulkPort}
    server peer ${server}:+${tlsOffset} ssl verify required ca-file ${root} crt ${leaf('client')} no-ssl-reuse
`;

const serverConfig = ({ root, leaf }: Certificates): string => {
  const tls = `ssl crt ${leaf('server')} ca-file ${root} verify required`;
  return `${common}
listen inbound
    bind :${echoPorts.first + tlsOffset}-${lastEchoPort + tlsOffset} ${tls}
    bind :${bulkPort + tlsOffset} ${tls}
    server app 127.0.0.1:-${tlsOffset}
`;
};

const lastEchoPort = echoPorts.first + echoPorts.count - 1;

export async function haproxy({ client, server, directory, signal }: VariantContext): Promise<Variant> {
  await using cleanup = new AsyncDisposableStack();
  const certificates = await makeCertificates(directory, ['client', 'server']);
  const start = (pod: LabPod, name: string, config: string): number => {
    const file = join(directory, `${name}.cfg`);
    writeFileSync(file, config);
    const argv = pod.command(['haproxy', '-db', '-f', file]);
    return cleanup.use(daemon(argv, join(directory, `${name}.log`))).pid;
  };
  const pids = [
    start(server, 'server', serverConfig(certificates)),
    start(client, 'client', clientConfig(server.ip, certificates)),
  ];
  await waitUntilListening(server, bulkPort + tlsOffset, signal);
  await waitUntilListening(client, bulkPort, signal);
  const owned = cleanup.move();
  return {
    id: 'haproxy',
    client,
    host: '127.0.0.1',
    proxies: () => pids,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
