import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { systemClock } from '../../../src/base/clock.ts';
import { parseIp } from '../../../src/base/ip.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { Authenticator } from '../../../src/controller/caller.ts';
import { CertificateManager } from '../../../src/identity/certificate-manager.ts';
import { GrpcCaClient } from '../../../src/identity/grpc-ca-client.ts';
import { idOf, nodeCaller, Rig, sign } from './rig.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

const [web, cart, db] = [idOf('web'), idOf('cart'), idOf('db')];

const hourMs = 3_600_000;

let rig: Rig;
const servers: { server: Server; sockets: Set<Socket> }[] = [];

beforeEach(() => {
  rig = new Rig();
  rig.join(nodeCaller('node-a'));
});

afterEach(async () => {
  await rig.close();
  for (const { server, sockets } of servers.splice(0)) {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

/** Listens on loopback until the test ends; returns its `HOST:PORT`. */
async function listen(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  servers.push({ server, sockets });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Holds every request back until `open` is called. */
function heldAuthenticator(): { authenticator: Authenticator; arrived: Promise<void>; open: () => void } {
  const arrived = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const authenticate = async () => {
    arrived.resolve();
    await opened.promise;
    return nodeCaller('node-a');
  };
  return { authenticator: { authenticate }, arrived: arrived.promise, open: opened.resolve };
}

const subjectOf = ([leaf = '']: readonly string[]) => new X509Certificate(leaf).subjectAltName;

describe('a node that asks for a certificate', () => {
  it.each(['127.0.0.1', '::1'])('gets leaf, intermediate and roots, over %s', async (ip) => {
    await rig.start({ ip: parseIp(ip) });
    const chain = await sign(rig.client(), web);
    expect(subjectOf(chain)).toBe(`URI:${web}`);
    expect(chain).toHaveLength(3);
  });

  it('gets them for many identities at once over one connection', async () => {
    await rig.start();
    const client = rig.client();
    const chains = await Promise.all(Array.from({ length: 24 }, (_, i) => sign(client, i % 2 ? web : cart)));
    expect(new Set(chains.map(subjectOf))).toEqual(new Set([`URI:${web}`, `URI:${cart}`]));
  });

  it('may know the authority by another name than its address', async () => {
    await rig.start();
    const client = rig.client({ serverName: 'controller.mesh', clusterId: 'Kubernetes' });
    expect(subjectOf(await sign(client, web))).toBe(`URI:${web}`);
  });

  it('with a wrong token is refused, and told what to do', async () => {
    await rig.start();
    writeFileSync(rig.path('token'), 'mesh_wrong');
    await expect(sign(rig.client(), web)).rejects.toMatchObject({
      code: 'CA_REFUSED',
      message: expect.stringContaining('make a join token'),
      details: { grpcStatus: 'UNAUTHENTICATED' },
    });
  });

  it('is refused an identity of another node', async () => {
    await rig.start();
    await expect(sign(rig.client(), db)).rejects.toMatchObject({
      code: 'CA_REFUSED',
      message: expect.stringContaining('no meshed pod'),
      details: { grpcStatus: 'PERMISSION_DENIED' },
    });
  });

  it('does not lose its connection by a refusal', async () => {
    await rig.start();
    const client = rig.client();
    await expect(sign(client, db)).rejects.toMatchObject({ code: 'CA_REFUSED' });
    expect(subjectOf(await sign(client, web))).toBe(`URI:${web}`);
  });
});

describe('a server that is not the authority', () => {
  it('under another root gets no token: the handshake fails, naming the file to check', async () => {
    await rig.start();
    const other = new Rig();
    other.join(nodeCaller('node-a'));
    await other.start();
    copyFileSync(other.path('roots.pem'), rig.path('foreign.pem'));
    await other.close();
    await expect(sign(rig.client({ rootsFile: rig.path('foreign.pem') }), web)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      hint: expect.stringContaining('foreign.pem'),
    });
  });

  it('under the right root but another name is not used', async () => {
    await rig.start();
    await expect(sign(rig.client({ serverName: 'istiod.istio-system.svc' }), web)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('istiod.istio-system.svc'),
    });
  });

  it('whose certificate is over, or not yet valid, makes the node ask about clocks', async () => {
    for (const shiftMs of [-30 * hourMs, 30 * hourMs]) {
      await rig.stop();
      rig.clock.shiftMs = shiftMs;
      await rig.start();
      await expect(sign(rig.client(), web)).rejects.toMatchObject({
        message: expect.stringMatching(/cannot be used: certificate (has expired|is not yet valid)$/),
        hint: expect.stringContaining('clocks'),
      });
    }
  });

  it('with TLS 1.2 only is not used', async () => {
    await rig.start();
    const { chain, privateKey } = await rig.controller.authority.issueServer(['127.0.0.1']);
    const options = {
      cert: chain.join(''),
      key: privateKey,
      maxVersion: 'TLSv1.2' as const,
      ALPNProtocols: ['h2'],
    };
    const address = await listen(createTlsServer(options));
    await expect(sign(rig.client({ address }), web)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('that never answers is given up at the deadline', async () => {
    await rig.start();
    const address = await listen(createServer());
    const before = Date.now();
    await expect(sign(rig.client({ address, deadlineMs: 300 }), web)).rejects.toMatchObject({
      code: 'TIMEOUT',
    });
    expect(Date.now() - before).toBeLessThan(3_000);
  });

  it('that talks nonsense is an error, not a crash', async () => {
    await rig.start();
    const address = await listen(
      createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    );
    await expect(sign(rig.client({ address, deadlineMs: 500 }), web)).rejects.toMatchObject({
      code: expect.stringMatching(/UNAVAILABLE|TIMEOUT/),
    });
  });
});

describe('an authority that is away', () => {
  it('is an error at once, and reached again without a restart of the node', async () => {
    await rig.start();
    const client = rig.client();
    await sign(client, web);
    await rig.stop();
    await expect(sign(client, web)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      hint: expect.stringContaining('controller'),
    });
    await rig.start();
    expect(subjectOf(await sign(client, web))).toBe(`URI:${web}`);
  });

  it('lets a request finish that it has begun before it stops', async () => {
    const { authenticator, arrived, open } = heldAuthenticator();
    await rig.start({ authenticator });
    const asking = sign(rig.client(), web);
    await arrived;
    const stopping = rig.stop(AbortSignal.timeout(4_000));
    open();
    expect(subjectOf(await asking)).toBe(`URI:${web}`);
    await stopping;
  });

  it('stops at its deadline although a request hangs', async () => {
    const { authenticator, arrived } = heldAuthenticator();
    await rig.start({ authenticator });
    const asking = sign(rig.client(), web).catch((error: unknown) => error);
    await arrived;
    await rig.stop(AbortSignal.timeout(50));
    expect(await asking).toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('a caller that loses interest', () => {
  it('ends its request at once', async () => {
    const { authenticator, arrived } = heldAuthenticator();
    await rig.start({ authenticator });
    const interest = new AbortController();
    const asking = sign(rig.client(), web, interest.signal);
    await arrived;
    interest.abort();
    await expect(asking).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('before it asked does not get through', async () => {
    await rig.start();
    await expect(sign(rig.client(), web, AbortSignal.abort())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('files that change while the node runs', () => {
  it('a new token is used for the next request', async () => {
    await rig.start();
    const client = rig.client();
    await sign(client, web);
    rig.join(nodeCaller('node-b'));
    expect(subjectOf(await sign(client, db))).toBe(`URI:${db}`);
  });

  it('new roots are used for the next request, and requests under way are not lost', async () => {
    const { authenticator, arrived, open } = heldAuthenticator();
    await rig.start({ authenticator });
    const client = rig.client();
    const asking = sign(client, web);
    await arrived;
    writeFileSync(rig.path('roots.pem'), `${rig.controller.authority.trustBundle()}\n`);
    const next = sign(client, web);
    open();
    expect(subjectOf(await asking)).toBe(`URI:${web}`);
    expect(subjectOf(await next)).toBe(`URI:${web}`);
  });

  it('that are missing are named in the error', async () => {
    await rig.start();
    const client = rig.client({ tokenFile: rig.path('no-such-token') });
    await expect(sign(client, web)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('no-such-token'),
    });
    rmSync(rig.path('roots.pem'));
    await expect(sign(rig.client(), web)).rejects.toMatchObject({
      message: expect.stringContaining('roots.pem'),
    });
  });

  it.each(['', 'two\ntokens', 'café'])(
    'with %j for a token are an error that does not show it',
    async (text) => {
      await rig.start();
      writeFileSync(rig.path('token'), text);
      const error = await sign(rig.client(), web).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'UNAVAILABLE', hint: expect.stringContaining('join token') });
      if (text !== '') expect(inspect(error)).not.toContain(text);
    },
  );

  it('with nonsense for roots are an error, not a crash', async () => {
    await rig.start();
    writeFileSync(rig.path('junk.pem'), 'not a certificate');
    await expect(sign(rig.client({ rootsFile: rig.path('junk.pem') }), web)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});

describe('an address', () => {
  it.each(['', 'controller', 'http://controller:15012', '::1:15012', 'unix:/run/x'])(
    'like %j is refused before anything is sent',
    (address) => {
      const files = { rootsFile: 'r', tokenFile: 't' };
      expect(() => new GrpcCaClient({ address, ...files })).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    },
  );
});

describe('the certificate manager on a real authority', () => {
  it('serves a connection although the authority comes up after it', async () => {
    await rig.start();
    await rig.stop();
    const manager = new CertificateManager({ ca: rig.client(), clock: systemClock, log: silentLogger });
    const waiting = manager.get(web, { signal: AbortSignal.timeout(5_000) });
    await expect(manager.get(web, { signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
      code: 'CERTIFICATE_UNAVAILABLE',
      message: expect.stringContaining('cannot be used'),
    });
    await rig.start();
    expect((await waiting).identity).toBe(web);
    manager.close();
  });
});
