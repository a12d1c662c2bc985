/** What applications in enrolled pods see, and what ztunnel finds, when they connect. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Socket } from 'node:net';
import { parseIp, parsePort, type SocketAddress } from '../../src/base/ip.ts';
import type { Datapath } from '../../src/datapath/datapath.ts';
import { Lab, type LabPod } from './support/lab.ts';
import { meshView } from './support/view.ts';
import * as scripts from './support/scripts.ts';

let lab: Lab;
let datapath: Datapath;
let client: LabPod;
let server: LabPod;
let outside: LabPod;

const address = (ip: string | undefined, port: number | undefined): SocketAddress => ({
  ip: parseIp(ip ?? ''),
  port: parsePort(port ?? 0),
});

/** Plays ztunnel's outbound listener: tells the application what it knows of its connection. */
function answerWithOriginalDestination(socket: Socket): void {
  const found = datapath.originalDestination(
    address(socket.remoteAddress, socket.remotePort),
    address(socket.localAddress, socket.localPort),
  );
  socket.end(
    found === undefined ? 'unknown' : `captured ${found.destination.ip} ${found.destination.port}`,
  );
}

beforeAll(async () => {
  lab = new Lab();
  [client, server, outside] = [lab.addPod('a'), lab.addPod('b'), lab.addPod('x')];
  datapath = await lab.open();
  for (const pod of [client, server]) {
    await lab.listen(pod.netns, 15001, answerWithOriginalDestination);
    await lab.enrol(
      datapath,
      pod,
      await lab.listen(pod.netns, 15006, (socket) =>
        socket.end(`plaintext ${address(socket.localAddress, socket.localPort).ip} ${socket.localPort}`),
      ),
    );
  }
  for (const pod of [client, server, outside]) {
    await lab.listen(pod.netns, 8080, (socket) => socket.end(`application ${pod.name}`));
  }
  datapath.apply(meshView({ meshed: [client, server], vips: ['10.96.0.10', 'fd96::10'] }));
});

afterAll(() => {
  datapath.close();
  lab.close();
});

describe('a connection of an enrolled pod', () => {
  it('to another meshed pod reaches ztunnel, while the application sees what it dialled', async () => {
    expect(await lab.inPod(client, scripts.connect, [server.ip4, 8080])).toEqual({
      peer: [server.ip4, 8080],
      own: [client.ip4, expect.any(Number)],
      data: `captured ${server.ip4} 8080`,
    });
  });
});
