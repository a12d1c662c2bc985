import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import { certificate, connection, denied, policy, service, status, workload } from './documents.ts';
import { document, type FakeNode, labNode, labSocket, run } from './harness.ts';

const list = (kind: string, ...items: readonly object[]): object => document(kind, { items });

const all = (node: string, answers: Record<string, object> = {}): FakeNode =>
  labNode(node, {
    '/v1/status': status(),
    '/v1/workloads': list('WorkloadList', workload('web-1')),
    '/v1/services': list('ServiceList', service('web')),
    '/v1/certs': list('CertificateList', certificate()),
    '/v1/policies': list('PolicyList', policy('db-allow')),
    '/v1/connections': document('ConnectionList', {
      live: [],
      recent: [connection('c-1')],
      last: 1,
      lost: 0,
    }),
    ...answers,
  });

const twoNodes = [all('node-a'), all('node-b')];
const nouns = ['status', 'workloads', 'services', 'certs', 'policies', 'connections'] as const;

describe.each(nouns)('mesh-ebpf %s', (noun) => {
  it.each(['table', 'wide', 'json', 'yaml'])('exits 0 when all is well, as %s', async (format) => {
    const { code, out, err } = await run(`${noun} -o ${format}`, { nodes: twoNodes });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).not.toBe('');
  });

  it.each(['table', 'json', 'yaml'])(
    'exits 3 and names the node that did not answer, as %s',
    async (format) => {
      const silent = labNode('node-b', {});
      const { code, out, err } = await run(`${noun} -o ${format}`, { nodes: [all('node-a'), silent] });
      expect(code).toBe(3);
      expect(err).toMatch(/not reached: node node-b: nobody listens/);
      if (format !== 'table') expect(out).toMatch(/node-b/);
    },
  );

  it('exits 3 and says what to start when there is no node', async () => {
    const { code, out, err } = await run(noun);
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(err).toMatch(/no node of the mesh runs on this machine/);
    expect(err).toMatch(/next: .*lab up/);
  });

  it.each([
    ['-o xml', /json/],
    ['--timeout soon', /30s/],
    ['--node UPPER', /lower-case/],
    ['--nonsense', /unknown option/],
    ['unexpected', /too many arguments/],
  ])('refuses "%s" before asking anybody', async (bad, says) => {
    const { code, out, err, requests } = await run(`${noun} ${bad}`, { nodes: twoNodes });
    expect({ code, out, requests }).toEqual({ code: 2, out: '', requests: [] });
    expect(err).toMatch(says);
  });

  it('prints json that carries apiVersion and kind', async () => {
    const { out } = await run(`${noun} -o json`, { nodes: twoNodes });
    expect(JSON.parse(out)).toMatchObject({
      apiVersion: 'mesh-ebpf.io/v1alpha1',
      kind: expect.stringMatching(/List$/),
      items: expect.any(Array),
      unreachable: [],
    });
  });

  it('asks one node only with --node, and names the nodes when there is none of that name', async () => {
    const one = await run(`${noun} --node node-b`, { nodes: twoNodes });
    expect(one.code).toBe(0);
    const none = await run(`${noun} --node node-c`, { nodes: twoNodes });
    expect(none.code).toBe(1);
    expect(none.err).toMatch(/no node "node-c".*\n.*node-a, node-b/);
  });

  it('is not troubled by a silent node when another was asked for', async () => {
    const { code, err } = await run(`${noun} --node node-a`, {
      nodes: [all('node-a'), labNode('node-b', {})],
    });
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  it('asks the socket given with --socket', async () => {
    const { code, requests } = await run(`${noun} --socket ${labSocket('node-a')}`, { nodes: twoNodes });
    expect(code).toBe(0);
    expect(requests.map(({ socket }) => socket)).toEqual([labSocket('node-a')]);
  });

  it('passes on what a node says is wrong', async () => {
    const { code, err } = await run(noun, {
      nodes: [
        all('node-a', {
          [`/v1/${noun}`]: document('Error', {
            code: 'PERMISSION',
            message: 'only root',
            hint: 'run it with sudo',
          }),
        }),
      ],
    });
    expect(code).toBe(3);
    expect(err).toMatch(/node-a: only root \(run it with sudo\)/);
  });

  it('says that a node speaks another version instead of printing nonsense', async () => {
    const { code, err } = await run(noun, {
      nodes: [all('node-a', { [`/v1/${noun}`]: { apiVersion: 'v9', kind: 'X' } })],
    });
    expect(code).toBe(3);
    expect(err).toMatch(/another version/);
  });

  it('shows examples and exit codes in its help', async () => {
    const { code, out } = await run(`${noun} --help`);
    expect(code).toBe(0);
    expect(out).toMatch(/Examples:\n +\$ mesh-ebpf/);
    expect(out).toMatch(/Exit status:/);
  });
});

describe('mesh-ebpf status', () => {
  it('sums up the mesh in its first line', async () => {
    const { out } = await run('status', { nodes: twoNodes });
    expect(out.split('\n')[0]).toMatch(
      /MESH +ok +2\/2 nodes, 4\/4 labelled pods enrolled, 6 live connections, CLI 0\.1\.0/,
    );
    expect(out).toMatch(/node-a +ok +2\/2 +3 +1 out, 2 in +ok +9h \(ns\/shop\/sa\/web\) +3h/);
  });

  it('shows what needs a person, why, since when and what to do, and exits 1', async () => {
    const problem = {
      code: 'NETNS',
      subject: 'pod shop/cart-7f9c',
      message: 'not enrolled: no process holds its network namespace',
      hint: 'kubectl -n shop delete pod cart-7f9c',
      since: '2026-11-21T10:00:00Z',
    } as const;
    const { code, out, err } = await run('status', {
      nodes: [
        all('node-a', {
          '/v1/status': { node: 'node-a', ...status({ health: 'degraded', problems: [problem] }) },
        }),
      ],
    });
    expect(code).toBe(1);
    expect(out).toMatch(/MESH +degraded/);
    expect(out).toMatch(/pod shop\/cart-7f9c: not enrolled: no process.*\(for 2h\)\n +next: kubectl/);
    expect(err).toMatch(/mesh-ebpf doctor/);
  });

  it('quotes times in yaml, which older readers would take for dates', async () => {
    expect((await run('status -o yaml', { nodes: twoNodes })).out).toMatch(/startedAt: "2026-/);
  });

  it('does not call a mesh ill of which it heard nothing', async () => {
    const { code, out } = await run('status', { nodes: [labNode('node-a', {})] });
    expect(code).toBe(3);
    expect(out).toMatch(/^MESH +unknown +0\/1 node,.*\n$/);
  });

  it('says what a starting node waits for', async () => {
    const starting = {
      node: 'node-a',
      ...status({ readiness: { ready: false, pending: ['BPF programs'] } }),
    };
    const { out } = await run('status', { nodes: [all('node-a', { '/v1/status': starting })] });
    expect(out).toMatch(/not ready: BPF programs/);
  });
});

const seenFrom = (node: string): FakeNode =>
  all(node, {
    '/v1/workloads': {
      node,
      ...list(
        'WorkloadList',
        workload('a-1', {
          node: 'node-a',
          enrolment: node === 'node-a' ? 'enrolled' : 'remote',
          certificate: null,
        }),
        workload('b-1', {
          node: 'node-b',
          enrolment: node === 'node-b' ? 'enrolled' : 'remote',
          certificate: null,
        }),
      ),
    },
  });

describe('mesh-ebpf workloads', () => {
  it('believes the pod’s own node over the others', async () => {
    const { out } = await run('workloads', { nodes: [seenFrom('node-a'), seenFrom('node-b')] });
    expect(out.trim().split('\n')).toHaveLength(3);
    expect(out).toMatch(/shop\/a-1 +node-a +yes/);
    expect(out).toMatch(/shop\/b-1 +node-b +yes/);
  });

  it('says why a pod is not captured, that its policies are not enforced, and exits 1', async () => {
    const lost = workload('cart-1', {
      enrolment: 'no',
      reason: 'no network namespace',
      policies: ['shop/p1', 'shop/p2'],
    });
    const { code, out } = await run('workloads', {
      nodes: [all('node-a', { '/v1/workloads': { node: 'node-a', ...list('WorkloadList', lost) } })],
    });
    expect(code).toBe(1);
    expect(out).toMatch(/NO: no network namespace.*2 NOT ENFORCED/);
  });

  it('names what it lists for other commands', async () => {
    expect((await run('workloads -o name', { nodes: [all('node-a')] })).out).toBe('workload/shop/web-1\n');
  });

  it('says why a list is empty, on stderr', async () => {
    const { code, out, err } = await run('workloads -n blog', { nodes: twoNodes });
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect(err).toMatch(/no workload in namespace "blog"; 1 in others/);
    const none = await run('workloads', {
      nodes: [all('node-a', { '/v1/workloads': { node: 'node-a', ...list('WorkloadList') } })],
    });
    expect(none.err).toMatch(/istio.io\/dataplane-mode=ambient/);
  });

  it('shows addresses and identities when asked for wide', async () => {
    expect((await run('workloads', { nodes: twoNodes })).out).not.toMatch(/fd00::5/);
    expect((await run('workloads -o wide', { nodes: twoNodes })).out).toMatch(/10\.0\.0\.5,fd00::5.*spiffe:/);
  });

  it('shows what a peer put into a name instead of obeying it', async () => {
    const hostile = workload('web\u001b[2J\u009b31m\u202eexe\r\nshop/fake  node-a  yes');
    const nodes = [all('node-a', { '/v1/workloads': { node: 'node-a', ...list('WorkloadList', hostile) } })];
    for (const format of ['table', 'wide', 'name', 'json', 'yaml']) {
      const { out } = await run(`workloads -o ${format}`, {
        nodes,
        terminal: true,
        columns: 200,
        variables: { NO_COLOR: '1' },
      });
      // oxlint-disable-next-line no-control-regex -- the very characters that must not come through
      expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
      expect(out).not.toMatch(/^shop\/fake/m);
    }
    const { out } = await run('workloads -o json', { nodes });
    expect(JSON.parse(out)).toMatchObject({ items: [{ name: hostile.name }] });
  });
});

describe('mesh-ebpf services', () => {
  it('makes a Service that nobody serves a finding', async () => {
    const { code, out } = await run('services', {
      nodes: [
        all('node-a', {
          '/v1/services': { node: 'node-a', ...list('ServiceList', service('db', { endpoints: [] })) },
        }),
      ],
    });
    expect(code).toBe(1);
    expect(out).toMatch(/shop\/db.*0\/0 connections are refused/);
  });

  it('counts ready endpoints and shows headless Services', async () => {
    const headless = service('peers', { vips: [] });
    const { out } = await run('services -o wide', {
      nodes: [all('node-a', { '/v1/services': { node: 'node-a', ...list('ServiceList', headless) } })],
    });
    expect(out).toMatch(
      /shop\/peers +headless +80\/tcp +1\/1 +peers\.shop\.svc\.cluster\.local +shop\/web-1/,
    );
  });
});

describe('mesh-ebpf certs', () => {
  it.each([
    ['valid', 0],
    ['pending', 0],
    ['expiring', 1],
    ['expired', 1],
    ['failed', 1],
  ] as const)('exits for a certificate that is %s with %i', async (state, code) => {
    const item = certificate({ state, lastError: state === 'failed' ? 'CA away' : null });
    const ran = await run('certs', {
      nodes: [all('node-a', { '/v1/certs': { node: 'node-a', ...list('CertificateList', item) } })],
    });
    expect(ran.code).toBe(code);
    if (state === 'failed') expect(ran.out).toMatch(/CA away/);
  });

  it('shows when each expires and when it is renewed, node by node', async () => {
    const { out } = await run('certs', { nodes: twoNodes });
    expect(out).toMatch(/sa\/web +node-a +valid +21h +in 9h/);
    expect(out).toMatch(/sa\/web +node-b/);
  });
});

const policyOn = (node: string): FakeNode =>
  all(node, {
    '/v1/policies': {
      node,
      ...list('PolicyList', policy('db-allow', { workloads: [`shop/db-${node}`] })),
    },
  });

describe('mesh-ebpf policies', () => {
  it('joins the pods that each node names', async () => {
    const { out } = await run('policies -o wide', { nodes: [policyOn('node-a'), policyOn('node-b')] });
    expect(out).toMatch(/shop\/db-allow +allow +app=db +2 .*shop\/db-node-a,shop\/db-node-b/);
  });

  it('says what the absence of policies means', async () => {
    const { err } = await run('policies', {
      nodes: [all('node-a', { '/v1/policies': { node: 'node-a', ...list('PolicyList') } })],
    });
    expect(err).toMatch(/every connection is allowed/);
  });
});

const remembering = (body: object): FakeNode =>
  all('node-a', {
    '/v1/connections': {
      node: 'node-a',
      ...document('ConnectionList', { live: [], recent: [], last: 9, lost: 0, ...body }),
    },
  });

describe('mesh-ebpf connections', () => {
  it('shows who, to whom, how, and how it went', async () => {
    const { out } = await run('connections', { nodes: [remembering({ recent: [connection('c-1')] })] });
    expect(out).toMatch(
      /4s +shop\/cart-1 +shop\/web:80 \(web-1\) +mTLS tunnel +source +100 B +4\.8 MiB +1\.0s +ok/,
    );
  });

  it('names policy and reason of a denial, hop and code of a failure', async () => {
    const failed = connection('c-2', {
      outcome: 'failed',
      error: {
        code: 'DIAL_FAILED',
        hop: 'dial',
        message: '10.0.1.8:8080 refused the connection',
        hint: null,
      },
    });
    const { out } = await run('connections', { nodes: [remembering({ recent: [denied('c-1'), failed] })] });
    expect(out).toMatch(/DENIED by shop\/db-allow: no rule matched/);
    expect(out).toMatch(/FAILED at dial: 10\.0\.1\.8:8080 refused the connection \[DIAL_FAILED\]/);
  });

  it('makes one line of the two sides of a tunnel, with the outcome from the side that knows more', async () => {
    const refused = connection('c-1', {
      outcome: 'failed',
      error: { code: 'CONNECT_REFUSED', hop: 'peer', message: 'answered 401', hint: null },
    });
    const inbound = { ...denied('c-7'), direction: 'inbound' } as const;
    const nodes = [
      all('node-a', {
        '/v1/connections': {
          node: 'node-a',
          ...document('ConnectionList', { live: [], recent: [refused], last: 1, lost: 0 }),
        },
      }),
      all('node-b', {
        '/v1/connections': {
          node: 'node-b',
          ...document('ConnectionList', { live: [], recent: [inbound], last: 1, lost: 0 }),
        },
      }),
    ];
    const table = await run('connections', { nodes });
    expect(table.out.trim().split('\n')).toHaveLength(2);
    expect(table.out).toMatch(/both .*DENIED by shop\/db-allow: no rule matched/);
    const wide = await run('connections -o wide', { nodes });
    expect(wide.out.trim().split('\n')).toHaveLength(3);
  });

  it('keeps apart what has no trace in common', async () => {
    const plain = [
      connection('c-1', { traceId: null }),
      connection('c-2', { traceId: null, direction: 'inbound' }),
      connection('c-3', { traceId: 'a'.repeat(32), direction: 'inbound' }),
      connection('c-4'),
    ];
    const { out } = await run('connections', { nodes: [remembering({ recent: plain })] });
    expect(out.trim().split('\n')).toHaveLength(5);
  });

  it('asks the node for exactly what was wanted', async () => {
    const { requests } = await run('connections -p shop/web-1 --denied --since 10m -l 5', {
      nodes: [remembering({})],
    });
    const query = new URL(requests[0]?.target ?? '', 'http://x').searchParams;
    expect(Object.fromEntries(query)).toEqual({
      namespace: 'shop',
      pod: 'web-1',
      denied: 'true',
      since: String(Date.parse('2026-11-21T11:50:00Z')),
      limit: '5',
    });
  });

  it('tells an empty answer from an idle mesh, and says when records were forgotten', async () => {
    expect((await run('connections --denied', { nodes: [remembering({})] })).err).toMatch(
      /none failed that way, of 9/,
    );
    expect((await run('connections', { nodes: [remembering({ last: 0 })] })).err).toMatch(
      /no connection went through/,
    );
    expect((await run('connections', { nodes: [remembering({ lost: 4 })] })).err).toMatch(
      /4 older records are forgotten/,
    );
  });

  it('puts live connections last, where the eye is', async () => {
    const live = connection('c-9', { outcome: null, durationMs: null, sequence: null });
    const { out } = await run('connections -o name', {
      nodes: [remembering({ live: [live], recent: [connection('c-1')] })],
    });
    expect(out).toBe('connection/node-a/c-1\nconnection/node-a/c-9\n');
  });

  it.each(['--live --denied', '--since yesterday', '-l -1', '-p a/b/c'])('refuses "%s"', async (bad) => {
    const { code, requests } = await run(`connections ${bad}`, { nodes: [remembering({})] });
    expect({ code, requests }).toEqual({ code: 2, requests: [] });
  });

  it('does not print what a node answered with an error', async () => {
    const { code } = await run('connections', {
      nodes: [labNode('node-a', { '/v1/connections': new MeshError('TIMEOUT', 'late') })],
    });
    expect(code).toBe(3);
  });
});
