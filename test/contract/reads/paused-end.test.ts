import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import type { MeshError } from '../../../src/base/errors.ts';
import { loadNative } from '../../../src/native/load.ts';
import type { Fd } from '../../../src/native/binding.ts';
import { PodMemory } from '../../../src/net/tunnel/pod-memory.ts';
import { SharedReads } from '../../../src/net/tunnel/shared-reads.ts';
import { StallWatch } from '../../../src/net/tunnel/stall-watch.ts';
import { TcpEnd, writeBufferSize } from '../../../src/net/tunnel/tcp-end.ts';
import { Turn } from '../../../src/net/tunnel/turn.ts';
import { WriteBuffers } from '../../../src/net/tunnel/write-buffers.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const native = loadNative();
const tcpClose = 7; // include/net/tcp_states.h

/** A paused end in front of an application, and what its sink is told. */
async function setup() {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const application = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  const clock = new FakeClock();
  const end = new TcpEnd(socket, 'application', {
    turn: new Turn(),
    reads: new SharedReads(),
    writeBuffers: new WriteBuffers(writeBufferSize),
    stalls: new StallWatch(clock),
    memory: new PodMemory(1 << 20, () => {}),
    socketError: (fd) => native.socketError(fd),
  });
  const told = { text: '', ended: false, failure: undefined as MeshError | undefined };
  end.attach({
    data: (bytes) => void (told.text += String(Buffer.from(bytes))),
    ended: () => void (told.ended = true),
    writable: () => {},
    finished: () => {},
    failed: (error) => void (told.failure = error),
  });
  end.resume();
  end.pause();
  const { fd } = (socket as unknown as { readonly _handle: { readonly fd: Fd } })._handle;
  const closedByKernel = async (): Promise<void> => {
    while (native.tcpInfo(fd).state !== tcpClose) await new Promise(setImmediate);
  };
  return { application, end, told, clock, closedByKernel };
}

describe('an end that is paused', () => {
  it('is not taken for reset when both sides have finished: what came before is still there to be read', async () => {
    const { application, end, told, clock, closedByKernel } = await setup();
    end.end();
    application.resume().end('the last words');
    await closedByKernel();
    await clock.advance(10_000);
    expect(told.failure).toBeUndefined();
    end.resume();
    while (!told.ended) await new Promise(setImmediate);
    expect(told.text).toBe('the last words');
  });

  it('notices within two seconds that the application has reset the connection', async () => {
    const { application, told, clock, closedByKernel } = await setup();
    application.resetAndDestroy();
    await closedByKernel();
    await clock.advance(2000);
    expect(told.failure?.code).toBe('APPLICATION_RESET');
    expect(told.failure?.message).toContain('ECONNRESET');
  });
});
