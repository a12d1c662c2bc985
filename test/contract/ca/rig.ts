/** A controller and a client of its certificate authority on loopback, with real TLS and real files. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../../src/base/clock.ts';
import { type IpAddress, type Port, parseIp } from '../../../src/base/ip.ts';
import { type Logger, silentLogger } from '../../../src/base/log.ts';
import { CertificateAuthority } from '../../../src/controller/ca/authority.ts';
import { AuthorityDirectory } from '../../../src/controller/ca/authority-directory.ts';
import type { Authenticator, Caller, IssuancePolicy } from '../../../src/controller/caller.ts';
import { Controller } from '../../../src/controller/controller.ts';
import { makeJoinToken, JoinTokens } from '../../../src/controller/join-tokens.ts';
import { MeshIssuancePolicy } from '../../../src/controller/mesh-issuance-policy.ts';
import { publishTrustBundle } from '../../../src/controller/trust-bundle.ts';
import { createCsr } from '../../../src/identity/csr.ts';
import { GrpcCaClient } from '../../../src/identity/grpc-ca-client.ts';
import { generateKeyPair } from '../../../src/identity/key-pair.ts';
import { parseSpiffeId, parseTrustDomain, type SpiffeId } from '../../../src/model/identity.ts';
import type { NodeName } from '../../../src/model/mesh.ts';
import type { TokenChannelOptions } from '../../../src/rpc/token-channel.ts';
import { meshOf, pod } from '../../support/mesh-builder.ts';

export const idOf = (name: string): SpiffeId => parseSpiffeId(`spiffe://cluster.local/ns/shop/sa/${name}`);
export const nodeCaller = (name: string): Caller => ({ type: 'node', node: name as NodeName });

/** The real time, and timers that fire when a test says so. */
export class RealTimeByHand implements Clock {
  #timers = new Set<() => void>();
  /** Added to the real time. */
  shiftMs = 0;

  get timers(): number {
    return this.#timers.size;
  }

  now(): number {
    return Date.now() + this.shiftMs;
  }

  random(): number {
    return 0.5;
  }

  after(_delayMs: number, callback: () => void): () => void {
    this.#timers.add(callback);
    return () => this.#timers.delete(callback);
  }

  fire(): void {
    const due = [...this.#timers];
    this.#timers.clear();
    for (const callback of due) callback();
  }
}

const mesh = meshOf({
  workloads: [
    pod('shop/web', { ips: ['10.0.0.1'], node: 'node-a' }),
    pod('shop/cart', { ips: ['10.0.0.2'], node: 'node-a' }),
    pod('shop/db', { ips: ['10.0.0.3'], node: 'node-b' }),
  ],
});

export interface StartOptions {
  readonly ip?: IpAddress;
  readonly port?: number;
  readonly log?: Logger;
  /** Instead of the join tokens. */
  readonly authenticator?: Authenticator;
  /** Instead of the mesh's placement. */
  readonly policy?: IssuancePolicy;
}

/** Everything of one test, in one directory that `close` removes. */
export class Rig {
  readonly directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-ca-'));
  readonly clock = new RealTimeByHand();
  readonly #clients: GrpcCaClient[] = [];
  #controller: Controller | undefined;
  #address = { ip: parseIp('127.0.0.1'), port: 1 as Port };

  path(name: string): string {
    return join(this.directory, name);
  }

  get controller(): Controller {
    if (this.#controller === undefined) throw new Error('the controller is not running');
    return this.#controller;
  }

  get port(): number {
    return this.#address.port;
  }

  get hostPort(): string {
    const { ip, port } = this.#address;
    return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
  }

  /** Starts the controller, on the port of last time if there was one. */
  async start({
    ip = parseIp('127.0.0.1'),
    port,
    log = silentLogger,
    authenticator,
    policy,
  }: StartOptions = {}) {
    const trustDomain = parseTrustDomain('cluster.local');
    const store = new AuthorityDirectory(this.path('ca'), trustDomain);
    const { controller, address } = await Controller.start(
      {
        authority: await CertificateAuthority.open({ store, trustDomain }, this.clock),
        authenticator: authenticator ?? new JoinTokens(this.path('tokens.json')),
        policy: policy ?? new MeshIssuancePolicy(mesh),
        leading: () => true,
        publish: async (authority) => publishTrustBundle(this.path('roots.pem'), authority.trustBundle()),
        clock: this.clock,
        log,
      },
      {
        listen: { ip, port: (port ?? (this.port === 1 ? 0 : this.port)) as Port },
        serverNames: ['127.0.0.1', '::1', 'controller.mesh'],
      },
    );
    this.#controller = controller;
    this.#address = address;
  }

  async stop(deadline = AbortSignal.timeout(1_000)): Promise<void> {
    await this.#controller?.stop(deadline);
    this.#controller = undefined;
  }

  /** Puts a new token for the caller into the file that clients read. */
  join(caller: Caller, file = 'token'): void {
    writeFileSync(this.path(file), `${makeJoinToken(this.path('tokens.json'), caller)}\n`);
  }

  client(options: Partial<TokenChannelOptions> = {}): GrpcCaClient {
    const client = new GrpcCaClient({
      address: this.hostPort,
      rootsFile: this.path('roots.pem'),
      tokenFile: this.path('token'),
      deadlineMs: 5_000,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.stop();
    rmSync(this.directory, { recursive: true });
  }
}

/** Asks for one certificate with a fresh key. */
export async function sign(
  client: GrpcCaClient,
  identity: SpiffeId,
  signal: AbortSignal = new AbortController().signal,
): Promise<readonly string[]> {
  const csr = await createCsr(identity, await generateKeyPair());
  return client.sign({ identity, csr, validitySeconds: 3_600 }, { signal });
}
