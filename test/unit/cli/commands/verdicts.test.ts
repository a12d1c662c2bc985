import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import type { AuthorizationPolicy } from '../../../../src/model/policy.ts';
import type { Row } from '../../../../src/datapath/inspect/rows.ts';
import { explainingNode, onlyCart, web } from '../explaining-nodes.ts';
import { pod } from '../../../support/mesh-builder.ts';
import { kernelWorld } from '../fake-kernel.ts';
import { machine, fromLaptop } from '../fake-cluster.ts';
import { labNode, run, type World } from '../harness.ts';

const webToDb: Row = {
  source: 'shop/web-1',
  sourceIp: '10.1.0.1',
  destination: 'shop/db-0',
  destinationIp: '10.1.1.2',
  port: 5433,
  state: 'in force',
};
const outdated: Row = { ...webToDb, port: 80, state: 'outdated' };
const toCart: Row = { ...webToDb, destination: 'other/cart-1', destinationIp: 'fd00::7' };
const three = [webToDb, outdated, toCart];

const db = pod('shop/db-0', { ips: ['10.1.1.2'], serviceAccount: 'db', labels: { app: 'db' } });
const onlyWeb: AuthorizationPolicy = {
  ...onlyCart,
  rules: [{ from: [{ principals: ['cluster.local/ns/shop/sa/web'] }] }],
};

const dumps =
  (verdicts: readonly Row[], isOn = true) =>
  (_root: string, map: string): Row[] =>
    map === 'config' ? [{ kernelPath: isOn }] : [...verdicts];

const world = (rows: readonly Row[], extra: World = {}, isOn = true): World =>
  kernelWorld({ dump: dumps(rows, isOn) }, ['node-a'], extra);

/** The node program of node-a, with this policy about db. */
const withPolicy = (policy = onlyWeb): World => ({
  nodes: [explainingNode('node-a', { mesh: { workloads: [web, db], policies: [policy] } })],
});

const onlyNodeA = (root: string): Row[] => {
  if (root.endsWith('node-b')) throw new MeshError('BPF_MAP', 'it is broken');
  return [webToDb];
};

const machineOf = (name: string): World => {
  const at = machine(name, {
    '/v1/explain':
      explainingNode(name, { mesh: { workloads: [web, db], policies: [onlyWeb] } }).answers['/v1/explain'] ??
      {},
  });
  return {
    ...at,
    env: { ...at.env, datapath: { ...at.env?.datapath, dump: dumps([webToDb]) } as never },
  };
};

describe('mesh-ebpf verdicts', () => {
  it('tells names, addresses, port, state, and the policy by which the node program allows it', async () => {
    const { code, out, err } = await run('verdicts', world(three, withPolicy()));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^SOURCE +DESTINATION +PORT +STATE +ALLOWED BY +NODE/);
    expect(out).toMatch(
      /shop\/web-1 10\.1\.0\.1 +shop\/db-0 10\.1\.1\.2 +5433 +in force +shop\/db-callers +node-a/,
    );
    expect(out).toMatch(/shop\/db-0 10\.1\.1\.2 +80 +outdated +- /);
    expect(out).toMatch(/other\/cart-1 fd00::7 /);
  });

  it('says why with -o wide, and everything as json and yaml', async () => {
    const with1 = world([webToDb], withPolicy());
    expect((await run('verdicts -o wide', with1)).out).toMatch(
      /rule 1 matches: source principal .*web is in principals/,
    );
    const { out } = await run('verdicts -o json', with1);
    expect(JSON.parse(out)).toMatchObject({
      kind: 'KernelVerdictList',
      items: [{ ...webToDb, node: 'node-a', verdict: { outcome: 'allowed', policy: 'shop/db-callers' } }],
      unreachable: [],
    });
    expect((await run('verdicts -o yaml', with1)).out).toMatch(/policy: shop\/db-callers/);
  });

  it('works without any node program, and says what that cannot tell', async () => {
    const { code, out, err } = await run('verdicts', world(three));
    expect(code).toBe(0);
    expect(out).toMatch(/5433 +in force +- /);
    expect(err).toMatch(/node node-a: which policies allow cannot be told: nobody listens/);
    const elsewhere = await run('verdicts --pin-root /x/y', world(three, withPolicy()));
    expect(elsewhere).toMatchObject({ code: 0, requests: [] });
    expect(elsewhere.err).toMatch(/which node program \/x\/y belongs to is not known/);
  });

  it('asks a node program that is silent once, and one that is not at most a hundred times', async () => {
    const many = Array.from({ length: 150 }, (_, i) => ({ ...webToDb, port: 1000 + i }));
    expect((await run('verdicts', world(many))).requests).toHaveLength(1);
    const { requests, err } = await run('verdicts', world(many, withPolicy()));
    expect(requests).toHaveLength(100);
    expect(err).toMatch(/the first 100; 50 more are in force/);
  });

  it('makes a verdict in force that policies deny a finding', async () => {
    const { code, out } = await run('verdicts', world([webToDb], withPolicy(onlyCart)));
    expect(code).toBe(1);
    expect(out).toMatch(
      /in force +DENIED by shop\/db-callers rule 1: source principal .*web is not in principals/,
    );
  });

  it('does not call it one when it was taken back while the node program was asked', async () => {
    let dumped = 0;
    const dump = (): Row[] => (dumped++ === 0 ? [webToDb] : [{ ...webToDb, state: 'outdated' }]);
    const { code, out } = await run('verdicts', kernelWorld({ dump }, ['node-a'], withPolicy(onlyCart)));
    expect(code).toBe(0);
    expect(out).toMatch(/5433 +outdated +- /);
  });

  it('leaves out the policy of a pod that the node program does not know', async () => {
    const answers = { '/v1/explain': new MeshError('NOT_FOUND', 'no such pod') };
    const { code, err } = await run('verdicts', world([webToDb], { nodes: [labNode('node-a', answers)] }));
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  it.each([
    ['--source shop/web-1', 3],
    ['--source web-1', 3],
    ['--source 10.1.0.1', 3],
    ['--source 10.1.0.10', 0],
    ['--source other/web-1', 0],
    ['--destination shop/db-0', 2],
    ['--destination db-0.shop', 2],
    ['--destination fd00:0::7', 1],
    ['-n other', 1],
    ['-n shop', 3],
    ['-n shop --destination cart-1', 1],
  ])('filters: %s', async (filter, count) => {
    const { code, out } = await run(`verdicts ${filter} -o json`, world(three));
    expect(code).toBe(0);
    expect((JSON.parse(out) as { items: object[] }).items).toHaveLength(count);
  });

  it('finds a name that is too long for the map', async () => {
    const name = 'web-'.padEnd(200, 'x');
    const cut = `shop/${name}`.slice(0, 63);
    const { out } = await run(`verdicts --source shop/${name}`, world([{ ...webToDb, source: cut }]));
    expect(out).toContain(cut);
  });

  it('says why there is nothing', async () => {
    expect((await run('verdicts', world([]))).err).toMatch(/no pair of pods is on the kernel path yet/);
    expect((await run('verdicts', world([], {}, false))).err).toMatch(/switched off: .*--same-node kernel/);
    expect((await run('verdicts -n nobody', world(three))).err).toMatch(/none matched, of 3 verdicts/);
  });

  it('lists a node that it cannot read, and exits 3', async () => {
    const { code, out, err } = await run('verdicts', kernelWorld({ dump: onlyNodeA }, ['node-a', 'node-b']));
    expect(code).toBe(3);
    expect(out).toMatch(/shop\/db-0/);
    expect(err).toMatch(/not reached: node node-b: it is broken/);
  });

  it.each(['verdicts --source a/b/c', 'verdicts -o name', 'verdicts --destination 10.1.0.300.x/'])(
    'refuses "%s" before reading anything',
    async (line) => {
      const { code, out } = await run(line, {});
      expect({ code, out }).toEqual({ code: 2, out: '' });
    },
  );

  it('asks each node of a cluster through its pod', async () => {
    const { code, out, err } = await fromLaptop('verdicts', {
      machines: { 'node-a': machineOf('node-a'), 'node-b': machineOf('node-b') },
    });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.match(/shop\/db-callers +node-[ab]/g)).toHaveLength(2);
  });
});
