import { describe, expect, it } from '@jest/globals';
import { parseSocketAddress } from '../../../../src/base/ip.ts';
import type { WorkloadUid } from '../../../../src/model/mesh.ts';
import { OwnDials } from '../../../../src/net/tunnel/own-dials.ts';

const pod = 'pod-a' as WorkloadUid;
const other = 'pod-b' as WorkloadUid;
const client = parseSocketAddress('10.0.0.1:40000');
const server = parseSocketAddress('10.0.0.2:80');

describe('our own dials', () => {
  it('are recognised by pod and both addresses, and by nothing less', () => {
    const dials = new OwnDials();
    dials.add(pod, client, server);
    expect(dials.has(pod, client, server)).toBe(true);
    expect(dials.has(other, client, server)).toBe(false);
    expect(dials.has(pod, server, client)).toBe(false);
    expect(dials.has(pod, client, parseSocketAddress('10.0.0.2:81'))).toBe(false);
    expect(dials.has(pod, parseSocketAddress('10.0.0.1:40001'), server)).toBe(false);
  });

  it('are forgotten when they are closed', () => {
    const dials = new OwnDials();
    const closed = dials.add(pod, client, server);
    closed();
    expect(dials.has(pod, client, server)).toBe(false);
  });
});
