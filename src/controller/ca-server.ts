/**
 * Serves the certificate API over gRPC and TLS 1.3, with a certificate the authority made for itself. TLS is
 * terminated here rather than by the gRPC library, so that handshakes and connections are bounded and the
 * certificate can be renewed in place.
 */
import {
  type ConnectionInjector,
  type Metadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  status,
} from '@grpc/grpc-js';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server as TlsServer } from 'node:tls';
import { asMeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { IpAddress, Port, SocketAddress } from '../base/ip.ts';
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateServiceService,
} from '../rpc/generated/ca.ts';
import {
  type PolicyReport,
  type PolicyReportReply,
  PolicyReportServiceService,
} from '../rpc/generated/policy-report.ts';
import { type CaService, hostOf } from './ca-service.ts';
import type { ReportService } from './report-service.ts';

export interface ServerCertificate {
  /** PEM: leaf, then intermediates. */
  readonly chain: readonly string[];
  readonly privateKey: string;
}

export interface ListenAddress {
  readonly ip: IpAddress;
  readonly port: Port | 0;
}

export interface CaServerDeps {
  readonly service: Pick<CaService, 'create'>;
  /** Absent where nobody collects reports: callers are told that there is no such service. */
  readonly reports?: Pick<ReportService, 'report'> | undefined;
  readonly log: Logger;
}

/** Hostile peers: what one connection, and all together, may cost. */
const limits = {
  connections: 4096,
  handshakeMs: 10_000,
  requestBytes: 64 * 1024,
  streams: 64,
  idleMs: 300_000,
};

export class CaServer {
  readonly #deps: CaServerDeps;
  readonly #grpc = new Server({
    'grpc.max_receive_message_length': limits.requestBytes,
    'grpc.max_concurrent_streams': limits.streams,
    'grpc.max_connection_idle_ms': limits.idleMs,
    'grpc.enable_channelz': 0,
  });
  readonly #injector: ConnectionInjector;
  readonly #tls: TlsServer;
  readonly #sockets = new Set<Socket>();

  constructor(deps: CaServerDeps, certificate: ServerCertificate) {
    this.#deps = deps;
    this.#grpc.addService(IstioCertificateServiceService, { createCertificate: this.#createCertificate });
    const { reports } = deps;
    if (reports !== undefined)
      this.#grpc.addService(PolicyReportServiceService, { report: reporting(reports) });
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#tls = createServer({ ...tlsOptions(certificate), handshakeTimeout: limits.handshakeMs });
    this.#tls.maxConnections = limits.connections;
    this.#tls.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#tls.on('secureConnection', (socket) => this.#injector.injectConnection(socket));
    this.#tls.on('tlsClientError', (error, { remoteAddress }) =>
      deps.log.debug({ peer: remoteAddress, reason: error.message }, 'TLS handshake failed'),
    );
  }

  /** Port 0 takes a free one; the address in use is returned. @throws MeshError UNAVAILABLE */
  async listen({ ip, port }: ListenAddress): Promise<SocketAddress> {
    this.#tls.listen(port, ip);
    try {
      await once(this.#tls, 'listening');
    } catch (thrown) {
      throw asMeshError(thrown, 'UNAVAILABLE', `cannot listen on ${ip} port ${port}`);
    }
    return { ip, port: (this.#tls.address() as AddressInfo).port as Port };
  }

  /** For new connections; those there are stay. */
  setCertificate(certificate: ServerCertificate): void {
    this.#tls.setSecureContext(tlsOptions(certificate));
  }

  /** Stops listening; requests under way may finish until the deadline fires, then every connection is cut. */
  async close(deadline: AbortSignal): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#tls.close(() => resolve()));
    const cut = (): void => this.#sockets.forEach((socket) => socket.destroy());
    deadline.addEventListener('abort', cut, { once: true });
    if (deadline.aborted) cut();
    this.#injector.destroy();
    await closed;
    deadline.removeEventListener('abort', cut);
  }

  readonly #createCertificate = (
    call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
    callback: sendUnaryData<IstioCertificateResponse>,
  ): void => {
    const request = { token: tokenOf(call), peer: call.getPeer(), message: call.request };
    void this.#deps.service.create(request).then((answer) => {
      if (answer.type === 'issued') callback(null, { certChain: [...answer.certificateChain] });
      else callback({ code: status[answer.status], details: answer.reason });
    });
  };
}

function tokenOf({ metadata }: { readonly metadata: Metadata }): string | undefined {
  const [header] = metadata.get('authorization');
  return /^Bearer (\S+)$/i.exec(String(header ?? ''))?.[1];
}

const reporting =
  (reports: Pick<ReportService, 'report'>) =>
  (
    call: ServerUnaryCall<PolicyReport, PolicyReportReply>,
    callback: sendUnaryData<PolicyReportReply>,
  ): void => {
    const request = { token: tokenOf(call), host: hostOf(call.getPeer()), message: call.request };
    void reports.report(request).then((answer) => {
      if (answer.type === 'taken') callback(null, answer.reply);
      else callback({ code: status[answer.status], details: answer.reason });
    });
  };

const tlsOptions = ({ chain, privateKey }: ServerCertificate) => ({
  cert: chain.join(''),
  key: privateKey,
  minVersion: 'TLSv1.3' as const,
  ALPNProtocols: ['h2'],
});
