import { describe, expect, it } from '@jest/globals';
import { nodeConfig, type NodeConfig, type NodeFlags } from '../../../../src/apps/config/node-config.ts';
import { defaultMapSizes } from '../../../../src/datapath/maps.ts';

const enough: NodeFlags = {
  nodeName: 'node-a',
  objects: '/objects',
  caAddress: '10.0.0.1:15012',
  caRoot: '/ca.pem',
  tokenFile: '/token',
};

const configOf = (flags: NodeFlags): NodeConfig => nodeConfig({ ...enough, ...flags }, {}, '/sys/fs/cgroup');

describe('the sizes of the BPF maps', () => {
  it('are the defaults, or what the flags say', () => {
    expect(configOf({}).mapSizes).toEqual(defaultMapSizes);
    expect(configOf({ maxPods: '250', maxFlows: '1000' }).mapSizes).toEqual({
      pods: 250,
      destinations: defaultMapSizes.destinations,
      flows: 1000,
      egress: defaultMapSizes.egress,
      verdicts: defaultMapSizes.verdicts,
    });
  });

  it.each(['0', '-1', '1.5', 'many', '', '4194305'])('cannot be "%s"', (text) => {
    expect(() => configOf({ maxDestinations: text })).toThrow(/--max-destinations: ".*" is not a number/);
  });
});

describe('what a node cannot do without', () => {
  it('is named all at once', () => {
    expect(() => nodeConfig({ nodeName: 'node-a' }, {}, '/sys/fs/cgroup')).toThrow(
      /--ca-address .*--ca-root .*--token-file .*--objects /,
    );
  });

  it('may come from the environment, named as for Istio’s ztunnel', () => {
    const environment = {
      NODE_NAME: 'node-b',
      CA_ADDRESS: 'https://[::1]:15012',
      CA_ROOT_CA: '/r',
      AUTH_TOKEN: '/t',
    };
    expect(nodeConfig({ objects: '/objects' }, environment, '/sys/fs/cgroup')).toMatchObject({
      nodeName: 'node-b',
      caAddress: '[::1]:15012',
      cgroupRoot: '/sys/fs/cgroup',
    });
  });
});

const from = (flags: NodeFlags, environment: Record<string, string> = {}) => {
  const { objects: _, ...others } = enough;
  return nodeConfig({ ...others, ...flags }, environment, '/sys/fs/cgroup').objects;
};

describe('where a node’s objects come from', () => {
  const inPod = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };

  it('is a directory, a kubeconfig, or the API server of the pod it runs in', () => {
    expect(from({ objects: '/objects' }, inPod)).toEqual({ type: 'directory', path: '/objects' });
    expect(from({ kubeconfig: '/k' }, inPod)).toMatchObject({ type: 'api', kubeconfig: '/k' });
    expect(from({}, inPod)).toMatchObject({ type: 'api', kubeconfig: undefined });
  });

  it('comes with a snapshot that outlives a reboot', () => {
    expect(from({}, inPod)).toMatchObject({ snapshotFile: '/var/lib/mesh-ebpf/node/objects.snapshot' });
    expect(from({ snapshot: '/s' }, inPod)).toMatchObject({ snapshotFile: '/s' });
  });

  it('is one thing only', () => {
    expect(() => from({ objects: '/objects', kubeconfig: '/k' })).toThrow(/goes with neither/);
    expect(() => from({})).toThrow(/--kubeconfig FILE \(or to run in a pod\)/);
  });
});

describe('the certificate authority’s address', () => {
  it.each(['10.0.0.1:15012', '[fd00::1]:15012', 'mesh-ebpf-controller.mesh-ebpf-system.svc:15012'])(
    'may be %s',
    (address) => {
      expect(configOf({ caAddress: address }).caAddress).toBe(address);
    },
  );

  it.each(['', '10.0.0.1', '10.0.0.300:1', 'name', 'name:', 'name:99999999', 'a b:1', '::1:15012', '-x:1'])(
    'cannot be "%s"',
    (address) => {
      expect(() => configOf({ caAddress: address })).toThrow(/--ca-address/);
    },
  );
});
