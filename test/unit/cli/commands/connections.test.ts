import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { connection, denied } from '../documents.ts';
import { fullNode } from '../fake-nodes.ts';
import { document, type FakeNode, labNode, run } from '../harness.ts';

const remembering = (body: object): FakeNode =>
  fullNode('node-a', {
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

  it('says how many a line stands for where it is more than one', async () => {
    const recent = [connection('k-1', { path: 'kernel', connections: 900 })];
    const { out } = await run('connections', { nodes: [remembering({ recent })] });
    expect(out).toMatch(/kernel .* ok, 900 connections$/m);
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
    const { out, err } = await run('connections', {
      nodes: [remembering({ recent: [denied('c-1'), failed] })],
    });
    expect(out).toMatch(/DENIED by shop\/db-allow: no rule matched/);
    expect(err).toBe('one in detail: mesh-ebpf why node-a/c-1\n');
    expect(out).toMatch(/FAILED at dial: 10\.0\.1\.8:8080 refused the connection \[DIAL_FAILED\]/);
  });

  it('makes one line of the two sides of a tunnel, with the outcome from the side that knows more', async () => {
    const refused = connection('c-1', {
      outcome: 'failed',
      error: { code: 'CONNECT_REFUSED', hop: 'peer', message: 'answered 401', hint: null },
    });
    const inbound = { ...denied('c-7'), direction: 'inbound' } as const;
    const nodes = [
      fullNode('node-a', {
        '/v1/connections': {
          node: 'node-a',
          ...document('ConnectionList', { live: [], recent: [refused], last: 1, lost: 0 }),
        },
      }),
      fullNode('node-b', {
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

  it('shows what policies in dry run would have refused, if asked', async () => {
    const dryRun = { allowed: false, policy: 'shop/rehearsed', reason: 'rule 1 matches' };
    const verdict = { allowed: true, policy: null, reason: 'no policy applies', audit: null, dryRun };
    const nodes = [remembering({ recent: [connection('c-1', { verdict })] })];
    const { out, requests } = await run('connections --dry-run-denied', { nodes });
    expect(out).toMatch(/DRY RUN[^]*WOULD BE DENIED by shop\/rehearsed: rule 1 matches/);
    expect(requests[0]?.target).toMatch(/dryRunDenied=true/);
    expect((await run('connections', { nodes })).out).not.toMatch(/DRY RUN/);
    expect((await run('connections -o wide', { nodes })).out).toMatch(/WOULD BE DENIED/);
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

  it('makes one line of the two sides of a live connection in the kernel, and says that it is accelerated', async () => {
    const kernel = { path: 'kernel', outcome: null, durationMs: null, traceId: null } as const;
    const inbound = connection('s-1', { ...kernel, accelerated: true, direction: 'inbound' });
    const slow = { ...kernel, accelerated: false, source: { ...inbound.source, address: '10.0.1.7:4009' } };
    const live = [
      inbound,
      { ...inbound, id: 's-1-source', direction: 'outbound' },
      connection('s-2', { ...slow, direction: 'inbound' }),
      connection('s-2-source', { ...slow, direction: 'outbound' }),
    ];
    const { out } = await run('connections --live', { nodes: [remembering({ live })] });
    expect(out).toMatch(/^live .* kernel, accelerated +both .*\nlive .* kernel +both [^\n]*\n$/m);
    expect(out.match(/live/g)).toHaveLength(2);
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
