/** Cluster DNS on the node's service addresses, UDP and TCP (RFC 7766). The zone is swapped as a whole. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { isIpv4 } from '../../base/ip.ts';
import type { IpAddress } from '../../base/ip.ts';
import { answerDns } from '../plan/dns-answer.ts';
import { DnsZone } from '../plan/dns-zone.ts';
import { clusterDomain } from '../topology.ts';

const port = 53;
const idleMs = 10_000;
const maxTcpClients = 256;

export class DnsServer {
  readonly #clock: Clock;
  #zone = new DnsZone({ domain: clusterDomain, namespaces: [], services: [], pods: [] });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  setZone(zone: DnsZone): void {
    this.#zone = zone;
  }

  /** Binds one UDP and one TCP socket an address; they live as long as the process. */
  async listen(addresses: readonly IpAddress[]): Promise<void> {
    await Promise.all(addresses.flatMap((ip) => [this.#listenUdp(ip), this.#listenTcp(ip)]));
  }

  async #listenUdp(ip: IpAddress): Promise<void> {
    const socket = createSocket({ type: isIpv4(ip) ? 'udp4' : 'udp6' });
    socket.on('message', (request, { address, port: clientPort }) => {
      const response = this.#answer(request, 'udp');
      // A client that went away is its own loss.
      if (response !== undefined) socket.send(response, clientPort, address, () => {});
    });
    socket.bind({ address: ip, port });
    await once(socket, 'listening');
  }

  async #listenTcp(ip: IpAddress): Promise<void> {
    const server = createServer((socket) => this.#serve(socket));
    server.maxConnections = maxTcpClients;
    server.listen({ host: ip, port });
    await once(server, 'listening');
  }

  /** Messages follow each other, each after its length in two bytes. */
  #serve(socket: Socket): void {
    let pending = Buffer.alloc(0);
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('data', (data) => {
      pending = Buffer.concat([pending, data]);
      for (let message = takeMessage(pending); message !== undefined; message = takeMessage(pending)) {
        pending = pending.subarray(2 + message.length);
        const response = this.#answer(message, 'tcp');
        if (response === undefined) return void socket.destroy();
        socket.write(framed(response));
      }
    });
  }

  #answer(request: Uint8Array, transport: 'udp' | 'tcp'): Uint8Array | undefined {
    return answerDns(request, this.#zone, { transport, random: () => this.#clock.random() });
  }
}

function takeMessage(pending: Buffer): Buffer | undefined {
  if (pending.length < 2) return undefined;
  const end = 2 + pending.readUInt16BE(0);
  return pending.length < end ? undefined : pending.subarray(2, end);
}

function framed(message: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}
