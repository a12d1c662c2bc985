/** The kernel path over networks that are not all alike: smaller packets on the way, and several ways at once. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { IpAddress } from '../../src/base/ip.ts';
import { parseIp } from '../../src/base/ip.ts';
import { eventually } from '../netns/support/wait.ts';
import { allow, kernelPath, sayYes, takeBack, startOver, undoneAfterEach } from './support/kernel-path.ts';
import { withMultipath, multipath } from './support/kernel.ts';
import { type Mesh, startMesh, stopMesh } from './support/mesh.ts';
import { inside } from './support/pod-network.ts';
import * as scripts from './support/scripts.ts';
import * as sockets from './support/socket-scripts.ts';

const sizes = { pods: 4, destinations: 16, flows: 256, egress: 64, verdicts: 1024 };

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh({ sizes, kernelPath });
});
afterAll(() => stopMesh(mesh));
beforeEach(() => startOver(mesh));

const cleanups = undoneAfterEach();

const node = (line: string): string => inside({ netns: mesh.lab.nodeNetns }, line);
const inA = (line: string): string => inside(mesh.a, line);
const inB = (line: string): string => inside(mesh.b, line);

const noneLeft = (): Promise<unknown> =>
  eventually('no record to be left', () => mesh.datapath.kernelPath.connections().length === 0 || undefined);

let lastPort = 9000;

/** A server in `b`. */
async function serve(script: string, how: Record<string, unknown> = {}): Promise<number> {
  lastPort += 1;
  cleanups.push(await mesh.lab.hold(mesh.b, script, { ...how, port: lastPort }));
  return lastPort;
}

const million = 1_000_000;
const families = ['IPv4', 'IPv6'] as const;
const ipsOf = (family: string): { readonly a: IpAddress; readonly b: IpAddress } =>
  family === 'IPv4' ? { a: mesh.a.ip4, b: mesh.b.ip4 } : { a: mesh.a.ip6, b: mesh.b.ip6 };

describe.each(families)('over %s a pod whose link takes smaller packets', (family) => {
  it('gets all that is sent, and so does who sends to it', async () => {
    inB('ip link set eth0 mtu 1280');
    cleanups.push(() => inB('ip link set eth0 mtu 1500'));
    const { b } = ipsOf(family);
    const port = await serve(sockets.echoAll);
    await allow(mesh, mesh.a, mesh.b, b, port);
    expect(await mesh.lab.run(mesh.a, sockets.pour, [b, port, million])).toBe(million);
    await noneLeft();
  });
});

describe.each(families)('over %s a router that takes smaller packets (ICMP: fragmentation needed)', (family) => {
  const small = 1300;

  it('is heard by who sends on the kernel path, and all arrives', async () => {
    const { a, b } = ipsOf(family);
    const [ip, gateway, length] = family === 'IPv4' ? ['ip', '10.77.0.1', 32] : ['ip -6', 'fd77::1', 128];
    const forwarding = family === 'IPv4' ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
    node(`sysctl -qw ${forwarding}=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.br0.send_redirects=0`);
    for (const inPod of [inA, inB]) inPod('sysctl -qw net.ipv6.conf.eth0.accept_redirects=0');
    // Both ways by the node, which sends on to `b` in small packets only.
    inA(`${ip} route add ${b}/${length} via ${gateway} dev eth0`);
    inB(`${ip} route add ${a}/${length} via ${gateway} dev eth0`);
    node(`${ip} route add ${b}/${length} dev br0 mtu ${small}`);
    cleanups.push(
      () => inA(`${ip} route del ${b}/${length}; ${ip} route flush cache`),
      () => inB(`${ip} route del ${a}/${length}`),
      () => node(`${ip} route del ${b}/${length}; sysctl -qw ${forwarding}=0`),
    );
    const port = await serve(sockets.echoAll);
    await allow(mesh, mesh.a, mesh.b, b, port);
    const admitted = mesh.datapath.counters().admittedKernel;
    expect(await mesh.lab.run(mesh.a, sockets.pour, [b, port, million])).toBe(million);
    expect(mesh.datapath.counters().admittedKernel - admitted).toBe(1n);
    expect(inA(`${ip} route get ${b}`)).toContain(`mtu ${small}`);
    await noneLeft();
  });
});

/** Before the second words were said, and after. */
const heard = (output: string): unknown => JSON.parse(output.split('\n').at(-2) ?? '');

const admitted = () => mesh.datapath.kernelPath.connections().filter(({ isAdmitted }) => isAdmitted);

async function allowFrom(own: IpAddress, port: number): Promise<void> {
  const { lab, a, b } = mesh;
  await lab.run(a, scripts.bindAndConnect, [b.ip4, port, own, 0]);
  await sayYes(mesh, a, b, port);
}

describe('Multipath TCP over two addresses', () => {
  const [first, second] = [parseIp('10.77.0.10'), parseIp('10.77.0.110')];

  /** `a` opens another path, from its second address, for each connection. */
  async function twoPaths(addresses: readonly IpAddress[]): Promise<void> {
    const { lab, datapath, a } = mesh;
    inA(`ip addr add ${second}/24 dev eth0`);
    for (const inPod of [inA, inB]) inPod('ip mptcp limits set subflow 2 add_addr_accepted 2');
    inA(`ip mptcp endpoint add ${second} dev eth0 subflow`);
    await lab.enrol(datapath, a, addresses);
    cleanups.push(async () => {
      inA(`ip mptcp endpoint flush; ip addr del ${second}/24 dev eth0`);
      await lab.enrol(datapath, a);
    });
  }

  withMultipath('is judged path by path, and cut on both', async () => {
    const { a, b, lab, datapath } = mesh;
    await twoPaths([first, second, a.ip6]);
    const port = await serve(sockets.serve, { protocol: multipath, reads: true, holds: true });
    await allowFrom(first, port);
    await allowFrom(second, port);
    const held = await lab.hold(a, sockets.holdOpen, [b.ip4, port, multipath, 1.5]);
    const both = await eventually('both paths', () => (admitted().length === 2 ? admitted() : undefined));
    expect(both.map(({ source }) => source.ip).toSorted()).toEqual([first, second]);
    takeBack(mesh);
    await datapath.cut(both);
    expect(heard(await held())).toEqual(['listener 0 hello', null]);
    await noneLeft();
  });

  withMultipath('has no path that is not allowed, and goes on with the one that is', async () => {
    const { a, b, lab } = mesh;
    await twoPaths([first, second, a.ip6]);
    const port = await serve(sockets.serve, { protocol: multipath, reads: true, holds: true });
    await allowFrom(first, port);
    const asked = mesh.datapath.counters().kernelAsked;
    const held = await lab.hold(a, sockets.holdOpen, [b.ip4, port, multipath, 20]);
    await eventually('the second path to be asked about', () => mesh.datapath.counters().kernelAsked > asked || undefined);
    expect(admitted().map(({ source }) => source.ip)).toEqual([first]);
    expect(heard(await held())).toEqual(['listener 0 hello', 'listener 0 hello again']);
  });
});
