import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { type CniRequest, errorAnswer, parseRequest, podOf } from '../../../../src/agent/cni/protocol.ts';
import { MeshError } from '../../../../src/base/errors.ts';

const request: CniRequest = {
  version: 1,
  command: 'ADD',
  containerId: 'c1',
  ifname: 'eth0',
  netnsFd: 3,
  args: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=u-1',
  config: { prevResult: { ips: [] } },
};

describe('a request of the CNI plugin', () => {
  it('is understood, whatever else the configuration says', () => {
    const sent = {
      ...request,
      config: { ...request.config, name: 'cbr0', plugins: [1], ipam: { type: 'x' } },
    };
    expect(parseRequest(JSON.stringify(sent))).toMatchObject(request);
  });

  it.each([
    ['no JSON', '{"version":1'],
    ['no object', '[]'],
    ['another version', JSON.stringify({ ...request, version: 2 })],
    ['an unknown command', JSON.stringify({ ...request, command: 'RUN' })],
    ['no container', JSON.stringify({ ...request, containerId: undefined })],
    ['a descriptor that is none', JSON.stringify({ ...request, netnsFd: '../../1/ns/net' })],
    ['a configuration that is none', JSON.stringify({ ...request, config: null })],
    [
      'attachments that are none',
      JSON.stringify({ ...request, config: { 'cni.dev/valid-attachments': [1] } }),
    ],
  ])('with %s is refused', (_case, text) => {
    expect(() => parseRequest(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('of any shape is understood or refused, and nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseRequest(text);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
        }
      }),
    );
  });

  it('names a pod, and its UID where the runtime says it', () => {
    expect(podOf(request)).toEqual({ namespace: 'shop', name: 'web-0', uid: 'u-1' });
    const older = 'K8S_POD_NAME=a=b;K8S_POD_NAMESPACE=shop;K8S_POD_UID=';
    expect(podOf({ args: older })).toEqual({ namespace: 'shop', name: 'a=b', uid: undefined });
    expect(() => podOf({ args: 'K8S_POD_NAME=web' })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

describe('an error for the container runtime', () => {
  it('is one to try again after, unless the request itself is wrong', () => {
    const later = errorAnswer(new MeshError('NETNS', 'lacks the address', { hint: 'wait' }));
    expect(later).toEqual({
      error: { code: 11, msg: 'mesh-ebpf: lacks the address (NETNS)', details: 'wait' },
    });
    expect(errorAnswer(new MeshError('INVALID_ARGUMENT', 'no'))).toMatchObject({ error: { code: 7 } });
  });
});
