import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { db, explainingNode, onlyCart, shop, web } from '../explaining-nodes.ts';
import { fullNode } from '../fake-nodes.ts';
import { run } from '../harness.ts';

const denying = { ...shop, policies: [onlyCart] };
const twoOf = (mesh = shop) => [explainingNode('node-a', { mesh }), explainingNode('node-b', { mesh })];

describe('mesh-ebpf explain', () => {
  it('tells the whole way on one screen, and is 0 where it would be allowed', async () => {
    const { out, err, code } = await run('explain shop/web-1 db.shop:5432', { nodes: twoOf() });
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(out.split('\n').slice(0, -1)).toEqual([
      'ALLOWED  shop/web-1 -> db.shop:5432  as node-a and node-b have it',
      'source        pod shop/web-1 on node-a, 10.1.0.1, spiffe://cluster.local/ns/shop/sa/web',
      'capture       yes: 10.96.0.1 is Service shop/db, which has endpoints in the mesh',
      'destination   Service shop/db, 10.96.0.1:5432',
      'endpoint      shop/db-0 at 10.1.1.2:5433 on node-b',
      'path          HBONE: mutual TLS to 10.1.1.2:15008',
      'TLS           proves spiffe://cluster.local/ns/shop/sa/web; expects spiffe://cluster.local/ns/shop/sa/db; port 5433 takes plaintext too (PERMISSIVE, no PeerAuthentication says otherwise)',
      'policies      none applies to this pod',
      'verdict       allowed: no policy applies  (node-b)',
    ]);
  });

  it('claims no TLS where the kernel is the proof', async () => {
    const near = { ...shop, workloads: [web, { ...db, node: web.node }] };
    const nodes = [explainingNode('node-a', { mesh: near, deps: { kernelPath: { node: web.node } } })];
    const { out, code } = await run('explain shop/web-1 10.1.1.2:5433', { nodes });
    expect(code).toBe(0);
    expect(out).toMatch(/^path +kernel: both pods are on node node-a/m);
    expect(out).toMatch(
      /^identity +no TLS: the kernel vouches for spiffe:\/\/cluster\.local\/ns\/shop\/sa\/web; port 5433 takes/m,
    );
    expect(out).not.toMatch(/^TLS/m);
  });

  it('is 1 where a policy denies, and says why in the words of the access log', async () => {
    const { out, code } = await run('explain shop/web-1 db.shop:5432', { nodes: twoOf(denying) });
    expect(code).toBe(1);
    expect(out).toMatch(/^DENIED /);
    expect(out).toContain(
      'verdict       denied: no ALLOW policy matches: shop/db-callers rule 1: source principal cluster.local/ns/shop/sa/web is not in principals',
    );
  });

  it('shows each clause of each rule with -o wide', async () => {
    const { out } = await run('explain shop/web-1 db.shop -o wide', { nodes: twoOf(denying) });
    expect(out).toContain(
      'rule 1 from[0] principals [cluster.local/ns/shop/sa/cart]: fails, source principal',
    );
  });

  it('says the same in json, with who was asked', async () => {
    const { out, code } = await run('explain web-1 db:5432 -n shop -o json', { nodes: twoOf(denying) });
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      apiVersion: 'mesh-ebpf.io/v1alpha1',
      kind: 'Explanation',
      nodes: ['node-a', 'node-b'],
      outcome: 'denied',
      ways: [{ answeredBy: 'node-b', policies: [{ policy: 'shop/db-callers', matches: false }] }],
      unreachable: [],
    });
  });

  it('asks the node of the source and that of the destination, whoever answers first', async () => {
    const nodes = [explainingNode('a-node'), ...twoOf()];
    const { out, requests } = await run('explain shop/web-1 db.shop', { nodes });
    expect(out).toContain('as node-a and node-b have it');
    expect(requests.map(({ socket }) => /nodes\/(.*?)\//.exec(socket)?.[1])).toEqual([
      'a-node',
      'node-a',
      'node-b',
    ]);
    expect(requests.every(({ target }) => target.startsWith('/v1/explain?'))).toBe(true);
  });

  it('believes the destination’s node about its policies, and says that the other is behind', async () => {
    const nodes = [explainingNode('node-a'), explainingNode('node-b', { mesh: denying })];
    const { out, code } = await run('explain shop/web-1 db.shop', { nodes });
    expect(code).toBe(1);
    expect(out).toContain('node node-a has another version of the mesh, by which it would be allowed');
  });

  it('believes the source’s node about a connection that does not leave', async () => {
    const trouble = new MeshError('CERTIFICATE_UNAVAILABLE', 'the authority does not answer');
    const certificate = () => ({ state: 'failed', notAfter: null, trouble });
    const nodes = [explainingNode('node-a', { deps: { certificate } }), explainingNode('node-b')];
    const { out, code } = await run('explain shop/web-1 db.shop', { nodes });
    expect(code).toBe(3);
    expect(out).toMatch(/^FAILED [^]*path +refused: HBONE[^]*failed: the authority does not answer/);
  });

  it('is 3 when a node that knows does not answer, and tells what the other one knows', async () => {
    const nodes = [
      explainingNode('node-a'),
      fullNode('node-b', { '/v1/explain': new MeshError('UNAVAILABLE', 'no node process runs') }),
    ];
    const { out, err, code } = await run('explain shop/web-1 db.shop', { nodes });
    expect(code).toBe(3);
    expect(out).toContain('as node-a has it');
    expect(err).toContain('not reached: node node-b: no node process runs');
  });

  it('asks one node only if told to', async () => {
    const { requests, code } = await run('explain shop/web-1 db.shop --node node-b', { nodes: twoOf() });
    expect(code).toBe(0);
    expect(requests).toHaveLength(1);
    expect((await run('explain shop/web-1 db.shop --node node-x', { nodes: twoOf() })).err).toContain(
      'no node "node-x"',
    );
  });

  it('is 3, not 1, for a name that nobody knows: that is no denial', async () => {
    const { err, code } = await run('explain shop/wed-1 db.shop', { nodes: twoOf() });
    expect(code).toBe(3);
    expect(err).toContain('did you mean shop/web-1?');
  });

  it('is 2 for what is no name', async () => {
    expect((await run('explain web-1 db.shop', { nodes: twoOf() })).code).toBe(2);
    expect((await run('explain shop/web-1 db.shop:http', { nodes: twoOf() })).code).toBe(2);
    expect((await run('explain shop/web-1', { nodes: twoOf() })).code).toBe(2);
  });

  it('shows names of peers without letting them move the cursor', async () => {
    const { out } = await run(['explain', 'spiffe://cluster.local/ns/a/sa/b', 'db.shop'], { nodes: twoOf() });
    expect(out).not.toContain('\u001b');
  });
});
