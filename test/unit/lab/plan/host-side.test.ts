/** The texts and command lines by which the lab changes the host, and what it reads back from it. */
import { describe, expect, it } from '@jest/globals';
import { labLayout, nodeCgroups, podLink, podNetns } from '../../../../src/lab/layout.ts';
import { lastLines } from '../../../../src/lab/commands/logs.ts';
import { parseObjectNames } from '../../../../src/lab/commands/delete.ts';
import { controllerCommand, nodeCommand } from '../../../../src/lab/plan/mesh-commands.ts';
import {
  deleteNetnsScript,
  fabricScript,
  nodeScript,
  podLinkScript,
  podScript,
} from '../../../../src/lab/plan/network-script.ts';
import { objectFileName } from '../../../../src/lab/plan/objects.ts';
import { inCgroup, inNetns, inPod } from '../../../../src/lab/system/enter.ts';
import { parseStartTime } from '../../../../src/lab/system/process.ts';
import { labNode, labNodes, podIps } from '../../../../src/lab/topology.ts';
import { labState, namespace, pod } from '../objects.ts';

describe('names on the host', () => {
  it('carry the prefix, and links fit the kernel’s 15 characters', () => {
    expect(podNetns('some-uid')).toMatch(/^mesh-lab-p-[0-9a-f]{8}$/);
    expect(podLink('some-uid').length).toBeLessThanOrEqual(15);
    expect(nodeCgroups('/cg', 'node-a').pod('U')).toBe('/cg/mesh-lab/node-a/kubepods/podU');
  });

  it('are one file for each object', () => {
    expect([objectFileName(pod()), objectFileName(namespace('shop'))]).toEqual([
      'pod_shop_web.yaml',
      'namespace_shop.yaml',
    ]);
  });
});

describe('network scripts', () => {
  const nodes = labNodes(2);
  const network = { uid: 'u', ips: podIps(labNode(1), 5) };

  it('join every node to the fabric and route each to the other’s pods, without NAT', () => {
    expect(fabricScript(nodes)).toContain(
      'link add node-b netns mesh-lab-fabric type veth peer name eth0 netns mesh-lab-node-b',
    );
    const script = nodeScript(labNode(1), nodes);
    expect(script).toContain('route add 10.244.2.0/24 via 10.10.0.2 src 10.10.0.1');
    expect(script).toContain('route add fd10:244:2::/64 via fd10::2 src fd10::1');
    expect(script).not.toContain('10.244.1.0/24 via');
  });

  it('give both ends of a pod’s link the same static neighbours, so that nobody waits for ARP', () => {
    expect(podLinkScript(network, labNode(1))).toContain('neigh replace 10.244.1.5 lladdr 02:6c:0a:f4:01:05');
    expect(podLinkScript(network, labNode(1))).toContain('peer name eth0 address 02:6c:0a:f4:01:05');
    expect(podScript(network)).toContain(
      'neigh replace 169.254.1.1 lladdr 02:6c:61:62:00:01 dev eth0 nud permanent',
    );
  });

  it('make IPv6 addresses usable at once', () => {
    const added = [nodeScript(labNode(1), nodes), podScript(network)]
      .join('')
      .split('\n')
      .filter((line) => line.startsWith('address add fd'));
    expect(added.length).toBeGreaterThan(0);
    expect(added.every((line) => line.endsWith('nodad'))).toBe(true);
  });

  it('delete by name', () => {
    expect(deleteNetnsScript(['a', 'b'])).toBe('netns del a\nnetns del b\n');
  });
});

describe('command lines', () => {
  it('enter the cgroup first, then the namespaces, then become the command', () => {
    const argv = inCgroup('/cg', inNetns('/run/netns/x', ['mesh-ebpf', 'node']));
    expect(argv.slice(3)).toEqual(['/cg', 'nsenter', '--net=/run/netns/x', '--', 'mesh-ebpf', 'node']);
    expect(inPod({ pid: 42, startTime: '1' }, ['sh'])).toEqual([
      'nsenter',
      '--target=42',
      '--net',
      '--mount',
      '--uts',
      '--',
      'sh',
    ]);
  });

  it('start the mesh’s processes with the flags they take', () => {
    const layout = labLayout('/run/lab');
    expect(nodeCommand(labState(), layout, 'node-b', 'keeper').join(' ')).toBe(
      'keeper --handover /run/lab/nodes/node-b/keeper.sock -- node main node --node-name node-b --objects /run/lab/objects --cgroup-root /cg/mesh-lab/node-b' +
        ' --pin-root /sys/fs/bpf/mesh-ebpf-lab/node-b --run-dir /run/lab/nodes/node-b --ca-address 10.10.0.1:15012' +
        ' --ca-root /run/lab/ca/ca-root.pem --token-file /run/lab/nodes/node-b/token --cluster-dns 10.96.0.10,fd10:96::a --log-level info',
    );
    expect(controllerCommand(labState(), layout).join(' ')).toBe(
      'node main controller --objects /run/lab/objects --ca-dir /run/lab/ca --listen 10.10.0.1:15012 --tokens /run/lab/tokens.json',
    );
  });

  it('give the mesh’s processes of a node the clock asked for, and the controller its lifetime', () => {
    const layout = labLayout('/run/lab');
    const odd = labState({
      clockOffsets: { 'node-a': -600_000, 'node-b': 90_000 },
      certificateLifetimeMs: 60_000,
    });
    expect(controllerCommand(odd, layout).join(' ')).toMatch(
      /^env LD_PRELOAD=\S+ FAKETIME=-600 \S+ node main controller .* --certificate-lifetime 60000ms$/,
    );
    expect(nodeCommand(odd, layout, 'node-a', 'keeper')).toContain('FAKETIME=-600');
    expect(nodeCommand(odd, layout, 'node-b', 'keeper')).toContain('FAKETIME=+90');
    expect(nodeCommand(odd, layout, 'node-c', 'keeper').join(' ')).toContain(' -- node main ');
  });

  it('tell the node programs how pods of a node are to reach each other', () => {
    const asked = labState({ sameNode: 'kernel', accelerate: 'forced' });
    expect(nodeCommand(asked, labLayout('/run/lab'), 'node-b', 'keeper').slice(-4)).toEqual([
      '--same-node',
      'kernel',
      '--accelerate',
      'forced',
    ]);
  });

  it('name objects as kubectl does', () => {
    expect(parseObjectNames(['pod', 'a', 'b'], 'shop')).toEqual([
      { kind: 'Pod', namespace: 'shop', name: 'a' },
      { kind: 'Pod', namespace: 'shop', name: 'b' },
    ]);
    expect(parseObjectNames(['po/a', 'svc/b'], 'shop').map(({ kind }) => kind)).toEqual(['Pod', 'Service']);
    for (const words of [['pod'], ['pod/'], ['node/a'], ['pod/a/b'], ['pod/a', 'b']]) {
      expect(() => parseObjectNames(words, 'shop')).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    }
  });
});

const stat = (state: string, comm: string): string =>
  `42 (${comm}) ${state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21`;

describe('what the host says', () => {
  it('tells a process from its successor by its start time, whatever it is called', () => {
    expect(parseStartTime(stat('S', 'sleep'))).toBe('987654');
    expect(parseStartTime(stat('S', 'a) S 1 (b'))).toBe('987654');
    expect(parseStartTime(stat('Z', 'sleep'))).toBeUndefined();
  });

  it('is shortened to the last lines of a log, an unfinished one included', () => {
    expect(lastLines('a\nb\nc', 2)).toBe('b\nc');
    expect(lastLines('a\nb\n', 1)).toBe('b\n');
    expect(lastLines('a\nb\n', 0)).toBe('');
    expect(lastLines('a\nb\n', undefined)).toBe('a\nb\n');
  });
});
