import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { silentLogger } from '../../../src/base/log.ts';
import { IstioCertificateServiceService } from '../../../src/rpc/generated/ca.ts';
import { flushPromises } from '../../support/fake-clock.ts';
import { idOf, nodeCaller, Rig, sign } from './rig.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

const web = idOf('web');
const hourMs = 3_600_000;

let rig: Rig;

beforeEach(async () => {
  rig = new Rig();
  rig.join(nodeCaller('node-a'));
  await rig.start();
});
afterEach(() => rig.close());

async function tls(options: ConnectionOptions = {}): Promise<TLSSocket> {
  const ca = readFileSync(rig.path('roots.pem'));
  const socket = connectTls({ host: '127.0.0.1', port: rig.port, ca, ALPNProtocols: ['h2'], ...options });
  await once(socket, 'secureConnect');
  return socket;
}

/** Sends bytes as the request message, past every check of our own client. */
async function raw(message: Buffer, authorization: string): Promise<ServiceError | undefined> {
  const channel = credentials.createSsl(readFileSync(rig.path('roots.pem')));
  const client = new Client(`localhost:${rig.port}`, channel, {
    'grpc.ssl_target_name_override': 'controller.mesh',
  });
  const metadata = new Metadata();
  metadata.set('authorization', authorization);
  const { path, responseDeserialize } = IstioCertificateServiceService.createCertificate;
  try {
    return await new Promise((resolve) => {
      const done = (error: ServiceError | null): void => resolve(error ?? undefined);
      client.makeUnaryRequest(
        path,
        asIs,
        responseDeserialize,
        message,
        metadata,
        { deadline: Date.now() + 4_000 },
        done,
      );
    });
  } finally {
    client.close();
  }
}

const asIs = (bytes: Buffer): Buffer => bytes;

const bearer = (): string => `Bearer ${readFileSync(rig.path('token'), 'utf8').trim()}`;

describe('the server', () => {
  it('speaks TLS 1.3 and HTTP/2', async () => {
    const socket = await tls();
    expect([socket.getProtocol(), socket.alpnProtocol]).toEqual(['TLSv1.3', 'h2']);
    socket.destroy();
  });

  it.each<[string, ConnectionOptions]>([
    ['TLS 1.2', { maxVersion: 'TLSv1.2' }],
    ['HTTP/1.1 only', { ALPNProtocols: ['http/1.1'] }],
  ])('refuses %s', async (_what, options) => {
    await expect(tls(options)).rejects.toThrow();
  });

  it('says which address it cannot have', async () => {
    const second = new Rig();
    await expect(second.start({ port: rig.port })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/cannot listen on 127.0.0.1 port .*EADDRINUSE/),
    });
    expect(second.clock.timers).toBe(0);
    await second.close();
  });

  it('outlives garbage, before and after the handshake, and serves others meanwhile', async () => {
    const plain = connectTcp(rig.port, '127.0.0.1');
    const secure = await tls();
    const closed = [plain, secure].map((socket) => {
      socket.on('error', () => {}).resume();
      socket.write(randomBytes(4_096));
      return once(socket, 'close');
    });
    expect(await sign(rig.client(), web)).toHaveLength(3);
    await Promise.all(closed);
  });

  it.each([
    ['larger than 64 KiB', () => Buffer.alloc(100_000, 1), [status.RESOURCE_EXHAUSTED]],
    ['that is not protobuf', () => Buffer.from('ffffffffffffffffffff', 'hex'), [status.INTERNAL]],
    ['that is empty', () => Buffer.alloc(0), [status.INVALID_ARGUMENT]],
  ])('answers a request %s with an error', async (_what, message, expected) => {
    expect(expected).toContain((await raw(message(), bearer()))?.code);
    expect(await sign(rig.client(), web)).toHaveLength(3);
  });

  it.each(['', 'Bearer', 'Bearer ', 'Basic abc', 'Bearer a b'])(
    'does not take %j for a token',
    async (header) => {
      expect((await raw(Buffer.alloc(0), header))?.code).toBe(status.UNAUTHENTICATED);
    },
  );
});

/** Lets upkeep run until it is done, or has set its next timer. */
async function upkeep(done: () => boolean): Promise<void> {
  rig.clock.fire();
  while (!done() && rig.clock.timers === 0) await flushPromises();
}

async function serial(): Promise<string> {
  const socket = await tls();
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

const bundle = (): string => readFileSync(rig.path('roots.pem'), 'utf8');

describe('upkeep', () => {
  it('leaves a fresh server certificate alone', async () => {
    const first = await serial();
    await upkeep(() => false);
    expect(await serial()).toBe(first);
  });

  it('renews the server certificate at half of its life without losing connections', async () => {
    await rig.stop();
    rig.clock.shiftMs = -13 * hourMs;
    await rig.start();
    const client = rig.client();
    await sign(client, web);
    const first = await serial();
    rig.clock.shiftMs = 0;
    rig.clock.fire();
    let second = first;
    for (let i = 0; i < 100 && second === first; i += 1) second = await serial();
    expect(second).not.toBe(first);
    expect(await sign(client, web)).toHaveLength(3);
  });

  it('rotates the intermediate before it ends, and nobody notices', async () => {
    const intermediate = () => rig.controller.authority.status().lineages[0]?.intermediate;
    const [before, roots, client] = [intermediate(), bundle(), rig.client()];
    await sign(client, web);
    rig.clock.shiftMs = 250 * 24 * hourMs;
    await upkeep(() => intermediate() !== before);
    expect(intermediate()).not.toBe(before);
    expect(bundle()).toBe(roots);
    expect((await sign(client, web))[1]).toBe(intermediate());
  });

  it('makes up for an intermediate that ended while the controller was not running', async () => {
    await rig.stop();
    rig.clock.shiftMs = 400 * 24 * hourMs;
    await rig.start();
    const [lineage] = rig.controller.authority.status().lineages;
    expect(lineage?.intermediateExpires).toBeGreaterThan(rig.clock.now() + 300 * 24 * hourMs);
  });

  it('destroys the key of a root when its time is over', async () => {
    await rig.controller.authority.rotateRoot();
    const [old] = rig.controller.authority.status().lineages;
    rig.clock.shiftMs = 49 * hourMs;
    await upkeep(() => false);
    const files = readdirSync(rig.path('ca'));
    expect(files).toEqual(['authority-3.json']);
    expect(readFileSync(rig.path('ca/authority-3.json'), 'utf8')).not.toContain(JSON.stringify(old?.root));
    expect(bundle()).not.toContain(old?.root);
  });

  it('says once a day that the root should be rotated', async () => {
    const warnings: string[] = [];
    await rig.stop();
    await rig.start({ log: { ...silentLogger, warn: (_fields, message) => void warnings.push(message) } });
    rig.clock.shiftMs = 3_500 * 24 * hourMs;
    for (let i = 0; i < 3; i += 1) await upkeep(() => false);
    expect(warnings).toEqual([
      expect.stringMatching(/^the root certificate expires in 1\d\d days; rotate it now$/),
    ]);
  });

  it('publishes a new root within a tick of its making by another process', async () => {
    const before = bundle();
    await rig.controller.authority.rotateRoot();
    await upkeep(() => bundle() !== before);
    expect(bundle().startsWith(before)).toBe(true);
    expect(bundle().match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(await sign(rig.client(), web)).toHaveLength(3);
  });

  it('goes on after a failure', async () => {
    const { authority } = rig.controller;
    await authority.rotateRoot({ overlapMs: 0 });
    const works = authority.status.bind(authority);
    authority.status = () => {
      throw new Error('disk on fire');
    };
    await upkeep(() => false);
    authority.status = works;
    await upkeep(() => bundle().match(/BEGIN CERTIFICATE/g)?.length === 2);
    expect(bundle().match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  });
});
