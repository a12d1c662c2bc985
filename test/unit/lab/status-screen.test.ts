/** How `lab status` looks. */
import { describe, expect, it } from '@jest/globals';
import { printLabStatus } from '../../../src/cli/lab-status.ts';
import type { OutputFormat } from '../../../src/cli/output.ts';
import type { LabStatus, StatusPod } from '../../../src/lab/commands/status.ts';

const pod: StatusPod = {
  namespace: 'shop',
  name: 'web',
  uid: 'u',
  node: 'node-a',
  ips: ['10.244.1.2', 'fd10:244:1::2'],
  netns: 'mesh-lab-p-1',
  phase: 'Running',
  ready: true,
  restarts: 0,
  inMesh: 'yes',
  serviceAccount: 'web',
  createdAt: '2026-01-01T00:00:00Z',
  reason: null,
  message: null,
};

const status: LabStatus = {
  mesh: true,
  stateDir: '/run/mesh-ebpf/lab',
  nodes: [
    {
      name: 'node-a',
      ips: ['10.10.0.1', 'fd10::1'],
      podCIDRs: ['10.244.1.0/24'],
      netns: 'mesh-lab-node-a',
      pods: { total: 2, ready: 1 },
      processes: [
        { name: 'kubelet', pid: 10, restarts: 0, lastExit: null },
        { name: 'node', pid: null, restarts: 3, lastExit: 'SIGKILL' },
      ],
    },
  ],
  pods: [
    pod,
    {
      ...pod,
      name: 'db',
      ready: false,
      restarts: 2,
      inMesh: 'waiting',
      reason: 'CrashLoopBackOff',
      message: 'exit code 1\u001b[31m',
    },
  ],
  services: [
    {
      namespace: 'shop',
      name: 'web',
      ips: ['10.96.1.0'],
      ports: ['80/TCP'],
      endpoints: { total: 2, ready: 1 },
    },
  ],
};

const plain = (_style: string, text: string): string => text;

function shown(format: OutputFormat): { readonly data: string[]; readonly hints: string[] } {
  const [data, hints]: [string[], string[]] = [[], []];
  const screen = {
    data: (line: string) => void data.push(line.trimEnd()),
    hint: (line: string) => void hints.push(line),
    paint: plain,
    paintHint: plain,
    columns: undefined,
  };
  printLabStatus(screen, format, status, Date.parse('2026-01-01T00:01:30Z'));
  return { data, hints };
}

describe('lab status', () => {
  it('shows nodes, pods and Services, and what is wrong with them', () => {
    expect(shown('table').data).toEqual([
      'NODE    IP                 PODS       PROCESSES',
      'node-a  10.10.0.1 fd10::1  1/2 ready  kubelet 10, node NOT RUNNING (3 restarts, last SIGKILL)',
      '',
      'NAMESPACE  POD  STATE             IN MESH  NODE    IP          RESTARTS  AGE',
      'shop       web  Running           yes      node-a  10.244.1.2         0   1m',
      'shop       db   CrashLoopBackOff  waiting  node-a  10.244.1.2         2   1m',
      '',
      'NAMESPACE  SERVICE  CLUSTER IP  PORTS   ENDPOINTS',
      'shop       web      10.96.1.0   80/TCP  1/2 ready',
      '',
    ]);
    expect(shown('table').hints[0]).toContain('shop/db: exit code 1');
  });

  it('has it all as one versioned document too', () => {
    const document = JSON.parse(shown('json').data.join('\n')) as object;
    expect(document).toMatchObject({
      apiVersion: expect.stringContaining('/'),
      kind: 'LabStatus',
      pods: [{ name: 'web' }, { name: 'db' }],
    });
  });
});
