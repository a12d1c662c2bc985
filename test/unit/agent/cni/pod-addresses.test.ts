import { describe, expect, it } from '@jest/globals';
import { podAddresses } from '../../../../src/agent/cni/pod-addresses.ts';

describe('the addresses a pod got from the plugins before ours', () => {
  it.each([
    ['0.3.1', { ips: [{ version: '4', address: '10.244.1.5/24', gateway: '10.244.1.1' }] }, ['10.244.1.5']],
    [
      '1.0.0, host and pod interfaces',
      {
        interfaces: [
          { name: 'cni0' },
          { name: 'veth1', mac: 'aa' },
          { name: 'eth0', sandbox: '/run/netns/x' },
        ],
        ips: [
          { address: '10.244.1.1/24', interface: 0 },
          { address: '10.244.1.5/24', interface: 2 },
          { address: 'fd00:0::5/64', interface: 2 },
        ],
      },
      ['10.244.1.5', 'fd00::5'],
    ],
    [
      'a /32 without an interface, twice',
      { interfaces: [{ name: 'lxc1' }], ips: [{ address: '10.0.0.9/32' }, { address: '10.0.0.9/32' }] },
      ['10.0.0.9'],
    ],
  ])('%s', (_case, result, expected) => {
    expect(podAddresses(result)).toEqual(expected);
  });

  it.each([
    ['nothing', undefined],
    ['no object', 'result'],
    ['a result of CNI 0.2.0', { ip4: { ip: '10.0.0.2/24' } }],
    ['no address', { ips: [] }],
    [
      'addresses of the host only',
      { interfaces: [{ name: 'cni0' }], ips: [{ address: '10.0.0.1/8', interface: 0 }] },
    ],
    ['an interface that is not listed', { interfaces: [], ips: [{ address: '10.0.0.1/8', interface: 3 }] }],
    ['an address that is none', { ips: [{ address: 'localhost' }] }],
    ['addresses that are no list', { ips: { address: '10.0.0.1/8' } }],
    ['an address with a zone', { ips: [{ address: 'fe80::1%eth0/64' }] }],
  ])('refuses %s', (_case, result) => {
    expect(() => podAddresses(result)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});
