import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { certificatePlans } from '../../cluster/plan/certificates.ts';
import { controlPlaneDaemons, findDaemon, nodeDaemons } from '../../cluster/plan/daemons.ts';
import { clusterLayout, clusterNodes, nodeDirectories } from '../../cluster/plan/layout.ts';
import { cniConfig, kubeletConfig } from '../../cluster/plan/node-files.ts';
import { inNodeScript } from '../../cluster/plan/network-script.ts';

const layout = clusterLayout('/state');
const settings = { layout, bin: '/bin', nodeCount: 2, proxyMode: 'iptables', dualStack: false } as const;
const nodes = clusterNodes(2);
const [first, second] = nodes as [(typeof nodes)[0] & object, (typeof nodes)[0] & object];

describe('daemons', () => {
  it('start on a node in the order of a machine that boots', () => {
    expect(nodeDaemons(settings, first).map(({ name }) => name)).toEqual([
      'containerd@node-1',
      'kubelet@node-1',
      'kube-proxy@node-1',
    ]);
  });

  it('are found by name, and a wrong name is told the right ones', () => {
    expect(findDaemon(settings, 'kube-proxy@node-2').argv).toContain('--proxy-mode=iptables');
    expect(() => findDaemon(settings, 'kubelet@node-3')).toThrow('the cluster has no "kubelet@node-3"');
  });

  it('are reachable from the nodes and this host only', () => {
    const [etcd, apiServer] = controlPlaneDaemons(settings);
    expect(etcd?.argv).toContain('--listen-client-urls=https://127.0.0.1:12379');
    expect(etcd?.argv).toContain('--client-cert-auth');
    expect(apiServer?.argv).toContain('--bind-address=172.30.0.1');
  });
});

describe('certificates', () => {
  it('make nodes members of system:nodes, and nobody but the API server a client of etcd', () => {
    const plans = certificatePlans(nodes);
    expect(plans.find(({ name }) => name === 'node-2')).toMatchObject({
      commonName: 'system:node:node-2',
      organization: 'system:nodes',
      ips: [second.ip],
    });
    expect(plans.filter(({ authority }) => authority === 'etcd').map(({ name }) => name)).toEqual([
      'apiserver-etcd-client',
      'etcd',
    ]);
  });
});

describe('a node', () => {
  it('keeps its pods in its own cgroup and its own address range', () => {
    expect(parse(kubeletConfig(layout, second))).toMatchObject({ cgroupRoot: '/mesh-cluster/node-2' });
    expect(JSON.parse(cniConfig(second, false))).toMatchObject({
      plugins: [{ type: 'ptp', ipam: { ranges: [[{ subnet: '10.244.2.0/24' }]] } }, { type: 'portmap' }],
    });
  });

  it('knows the way to the pods of the others, not to its own', () => {
    const script = inNodeScript(first, nodes, false);
    expect(script).toContain('route add 10.244.2.0/24 via 172.30.0.12');
    expect(script).not.toContain('10.244.1.0/24');
  });

  it('has its disk below the state directory', () => {
    expect(nodeDirectories.map((directory) => layout.node(first).disk(directory))).toContain(
      '/state/node-1/disk/var/lib/kubelet',
    );
  });
});

describe('a cluster with both address families', () => {
  const both = { ...settings, dualStack: true };

  it('gives nodes, pods and Services an address of each', () => {
    expect(findDaemon(both, 'kubelet@node-1').argv).toContain('--node-ip=172.30.0.11,fd00:30::11');
    expect(findDaemon(both, 'kube-apiserver').argv).toContain(
      '--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/108',
    );
    expect(JSON.parse(cniConfig(first, true))).toMatchObject({
      plugins: [
        { ipam: { ranges: [[{ subnet: '10.244.1.0/24' }], [{ subnet: 'fd00:10:244:1::/64' }]] } },
        { type: 'portmap' },
      ],
    });
    expect(inNodeScript(first, nodes, true)).toContain('route add fd00:10:244:2::/64 via fd00:30::12');
  });
});
