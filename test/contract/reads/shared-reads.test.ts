import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { SharedReads } from '../../../src/net/tunnel/shared-reads.ts';

/** Both ends of a connection; the accepted one is paused, as the engine's listeners hand it over. */
async function connection(): Promise<{ client: Socket; accepted: Socket; end: () => void }> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  const [accepted] = (await once(server, 'connection')) as [Socket];
  return {
    client,
    accepted,
    end: () => {
      for (const socket of [client, accepted]) socket.destroy();
      server.close();
    },
  };
}

describe('sockets that share one buffer to read into', () => {
  it('deliver everything in order, and then the end', async () => {
    const { client, accepted, end } = await connection();
    const parts: Buffer[] = [];
    new SharedReads().attach(accepted, { received: (bytes) => void parts.push(Buffer.from(bytes)) });
    accepted.resume();
    const sent = Buffer.alloc(1 << 20, 'abcdefghijk');
    client.end(sent);
    await once(accepted, 'end');
    expect(Buffer.concat(parts).equals(sent)).toBe(true);
    end();
  });

  it('really share it in this Node: no read makes a buffer of its own', async () => {
    const [one, other] = [await connection(), await connection()];
    const reads = new SharedReads();
    const seen = new Set<ArrayBufferLike>();
    for (const { client, accepted } of [one, other]) {
      reads.attach(accepted, { received: (bytes) => void seen.add(bytes.buffer) });
      accepted.resume();
      client.end('something');
    }
    await Promise.all([once(one.accepted, 'end'), once(other.accepted, 'end')]);
    expect(seen.size).toBe(1);
    one.end();
    other.end();
  });

  it('get nothing while they are paused', async () => {
    const { client, accepted, end } = await connection();
    const got: string[] = [];
    new SharedReads().attach(accepted, {
      received(bytes) {
        got.push(String(bytes));
        accepted.pause();
      },
    });
    const until = async (text: string): Promise<void> => {
      while (got.join('') !== text) await new Promise(setImmediate);
    };
    accepted.resume();
    client.write('first');
    await until('first');
    client.write('second');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(got).toEqual(['first']);
    accepted.resume();
    await until('firstsecond');
    end();
  });

  it('deliver at once what was read before', async () => {
    const { client, accepted, end } = await connection();
    client.write('early');
    accepted.read(0);
    while (accepted.readableLength === 0) await new Promise(setImmediate);
    const got: string[] = [];
    new SharedReads().attach(accepted, { received: (bytes) => void got.push(String(bytes)) });
    expect(got).toEqual(['early']);
    end();
  });
});
