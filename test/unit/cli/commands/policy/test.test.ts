import { describe, expect, it } from '@jest/globals';
import { explainingNode, onlyCart, shop } from '../../explaining-nodes.ts';
import { run } from '../../harness.ts';
import { deployed } from '../../offline/manifests.ts';

const cases = `
- name: web reaches the database
  from: shop/web
  to: db.shop
  port: 5432
  expect: allow
  by: db-callers
- { name: guests do not, from: other/guest, to: "db.shop:5432", expect: deny }
`;
const files = { 'cases.yaml': cases, 'k8s/all.yaml': deployed, 'k8s/notes.txt': 'not YAML: [' };

describe('mesh-ebpf policy test', () => {
  it('judges cases by the objects in files, without a node', async () => {
    const { out, code, requests } = await run('policy test cases.yaml --files k8s', { files });
    expect([out, code, requests]).toEqual(['2 cases: 2 ok, 0 failed\n', 0, []]);
    const { out: all } = await run('policy test cases.yaml --files k8s -o wide', { files });
    expect(all).toContain('ok  guests do not  (cases.yaml:8:3)');
  });

  it('shows a case that is otherwise with its explanation, and is 1', async () => {
    const wrong =
      '- { from: other/guest, to: "db.shop:5432", expect: allow }\n- { from: shop/web, to: db.shop, expect: allow, by: other }';
    const { out, code } = await run('policy test cases.yaml --files k8s', {
      files: { ...files, 'cases.yaml': wrong },
    });
    expect(code).toBe(1);
    expect(out).toMatch(
      /FAIL {2}other\/guest -> db\.shop:5432 {2}\(cases\.yaml:1:3\)\n {2}expected allow, found denied: no ALLOW policy matches: shop\/db-callers rule 1/,
    );
    expect(out).toMatch(/ {2}policies +ALLOW {2}shop\/db-callers {2}no match/);
    expect(out).toMatch(/expected allow by other, found allowed by shop\/db-callers: rule 1 matches/);
    expect(out).toMatch(/2 cases: 0 ok, 2 failed\n$/);
  });

  it('is 3 where nobody can tell', async () => {
    const odd =
      '- { from: shop/nobody, to: db.shop, expect: deny }\n- { from: shop/web, to: "db.shop:1", expect: deny }';
    const { out, code } = await run('policy test cases.yaml --files k8s', {
      files: { ...files, 'cases.yaml': odd },
    });
    expect(code).toBe(3);
    expect(out).toMatch(/UNKNOWN {2}shop\/nobody -> db\.shop .*\n.*there is no pod or workload "nobody"/);
    expect(out).toMatch(/found failed: service shop\/db has no TCP port 1/);
  });

  it('names every mistake in a file of cases with its place', async () => {
    const broken =
      '- from: shop/web\n  to: db.shop\n  port: "5432"\n  expects: allow\n- { from: a, to: "b:1", port: 2, expect: maybe }\n';
    const { err, code } = await run('policy test cases.yaml --files k8s', {
      files: { ...files, 'cases.yaml': broken },
    });
    expect(code).toBe(2);
    for (const place of ['cases.yaml:3:9: [0].port', 'cases.yaml:4:3: [0].expects', 'cases.yaml:5:']) {
      expect(err).toContain(place);
    }
    expect(
      (await run('policy test cases.yaml --files k8s', { files: { ...files, 'cases.yaml': '- [' } })).err,
    ).toMatch(/cases\.yaml:\d+:\d+/);
    expect(
      (await run('policy test cases.yaml --files k8s', { files: { ...files, 'cases.yaml': '' } })).code,
    ).toBe(2);
    const twice = '- { from: a/a, to: "b.b:1", port: 2, expect: deny }';
    expect(
      (await run('policy test cases.yaml --files k8s', { files: { ...files, 'cases.yaml': twice } })).err,
    ).toContain('has a port already');
  });

  it('names every mistake in the objects with its place, and judges nothing', async () => {
    const { err, out, code } = await run('policy test cases.yaml --files k8s', {
      files: {
        ...files,
        'k8s/typo.yaml':
          'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: x }\nspec: { rulez: [] }\n',
      },
    });
    expect([out, code]).toEqual(['', 3]);
    expect(err).toMatch(/k8s\/typo\.yaml:4:/);
  });

  it('takes files from standard input, once', async () => {
    const { code } = await run('policy test - --files k8s', { files, input: once(cases) });
    expect(code).toBe(0);
    expect((await run('policy test - --files -', { files, input: once(cases) })).code).toBe(2);
  });

  it('judges cases by the nodes of a mesh', async () => {
    const mesh = { ...shop, policies: [onlyCart] };
    const nodes = [explainingNode('node-a', { mesh }), explainingNode('node-b', { mesh })];
    const text =
      '- { from: shop/web-1, to: db.shop, expect: deny }\n- { from: sa/shop/cart, to: db.shop, expect: allow }';
    const { out, code } = await run('policy test cases.yaml -o json', {
      nodes,
      files: { 'cases.yaml': text },
    });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      kind: 'PolicyTestResult',
      ok: 2,
      failed: 0,
      unknown: 0,
      items: [
        {
          at: 'cases.yaml:1:3',
          result: 'ok',
          found: null,
          explanation: { outcome: 'denied', nodes: ['node-a', 'node-b'] },
        },
        { result: 'ok', explanation: { outcome: 'allowed' } },
      ],
    });
  });

  it('does not take options that only files need, or only nodes', async () => {
    const nodes = [explainingNode('node-a')];
    expect((await run('policy test cases.yaml --root-namespace mesh', { nodes, files })).code).toBe(2);
    expect((await run('policy test cases.yaml --files k8s --node node-a', { nodes, files })).code).toBe(2);
  });
});

async function* once(text: string): AsyncGenerator<string> {
  yield await Promise.resolve(text);
}
