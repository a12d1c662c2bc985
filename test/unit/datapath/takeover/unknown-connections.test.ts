import { expect, it } from '@jest/globals';
import { parseIp } from '../../../../src/base/ip.ts';
import { pairsOf } from '../../../../src/datapath/takeover/unknown-connections.ts';

const pod = (podId: number, ip: string) => ({ podId, netns: `/${podId}`, addresses: [parseIp(ip)] });
const [a, b] = [pod(1, '10.0.0.1'), pod(2, '10.0.0.2')];
let cookies = 0n;
const socket = (of: ReturnType<typeof pod>, local: [string, number], remote: [string, number]) => ({
  pod: of,
  local: { ip: local[0], port: local[1] },
  remote: { ip: remote[0], port: remote[1] },
  cookie: ++cookies,
});

it('finds the two ends of a connection from pod to pod, once', () => {
  const ends = [
    socket(a, ['10.0.0.1', 4000], ['10.0.0.2', 80]),
    // As a dual-stack server has it.
    socket(b, ['::ffff:10.0.0.2', 80], ['::ffff:10.0.0.1', 4000]),
  ];
  expect(pairsOf(ends)).toEqual([ends]);
});

it.each([
  [
    'captured',
    [socket(a, ['10.0.0.1', 4000], ['10.0.0.1', 15001]), socket(a, ['10.0.0.1', 15001], ['10.0.0.1', 4000])],
  ],
  [
    'ztunnel’s',
    [socket(a, ['10.0.0.1', 4000], ['10.0.0.2', 15008]), socket(b, ['10.0.0.2', 15008], ['10.0.0.1', 4000])],
  ],
  [
    'delivered by ztunnel in the client’s name',
    [socket(b, ['10.0.0.1', 4000], ['10.0.0.2', 80]), socket(b, ['10.0.0.2', 80], ['10.0.0.1', 4000])],
  ],
  ['to elsewhere', [socket(a, ['10.0.0.1', 4000], ['10.0.9.9', 80])]],
  ['half gone', [socket(a, ['10.0.0.1', 4000], ['10.0.0.2', 80])]],
])('finds none that is %s', (_what, sockets) => {
  expect(pairsOf(sockets)).toEqual([]);
});
