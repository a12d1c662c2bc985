/**
 * `make bench-policy`: how long a decision takes among how many policies, and what a policy takes of memory. Prints a
 * table, or JSON with --json; fails if a target is missed. Pure code: one core, no root. Times are CPU times.
 */
import { parseIp, parsePort, parsePrefix } from '../../../src/base/ip.ts';
import { parseSpiffeId, type SpiffeId } from '../../../src/model/identity.ts';
import type { Workload } from '../../../src/model/mesh.ts';
import { type AuthorizationPolicy, type PolicyRule, policyKey } from '../../../src/model/policy.ts';
import { type AccessRequest, createAuthorizer } from '../../../src/policy/authorize.ts';
import type { MeshStore } from '../../../src/model/store.ts';
import { meshOf, pod } from '../../support/mesh-builder.ts';
import { median } from '../stats.ts';

interface Case {
  readonly name: string;
  readonly policies: number;
  readonly policyOf: (i: number) => AuthorizationPolicy;
  /** Microseconds. */
  readonly target: number;
}

const named = (
  i: number,
  namespace: string,
  rules: readonly PolicyRule[],
  more: Partial<AuthorizationPolicy> = {},
): AuthorizationPolicy => ({
  key: policyKey(namespace, `p${i}`),
  namespace,
  name: `p${i}`,
  action: i % 4 === 0 ? 'deny' : 'allow',
  scope: { type: 'namespace' },
  rules,
  ...more,
});

const account = (i: number): string => `cluster.local/ns/n${i % 97}/sa/s${i}`;

/** Kinds of rules that people write, in turn. */
function usualRule(i: number): PolicyRule {
  const to = [{ ports: [parsePort(1000 + (i % 50))] }];
  switch (i % 5) {
    case 0:
      return { from: [{ principals: [account(i)] }], to };
    case 1:
      return { from: [{ namespaces: [`n${i}`], notPrincipals: ['*/sa/guest'] }] };
    case 2:
      return {
        from: [{ serviceAccounts: [`n${i % 97}/s${i}`] }, { principals: [`cluster.local/ns/m${i}/*`] }],
        to,
      };
    case 3:
      return { from: [{ ipBlocks: [parsePrefix(`10.${i % 200}.${(i >> 3) % 250}.0/24`)] }], to };
    default:
      return { from: [{ principals: [`*/ns/x${i}/sa/job`] }], when: [{ ports: [parsePort(80)] }] };
  }
}

const everywhere = (i: number): AuthorizationPolicy => named(i, `n${i % 100}`, [usualRule(i)]);
const onOne = (i: number): AuthorizationPolicy => named(i, 'n1', [usualRule(i)]);
const selecting = (i: number): AuthorizationPolicy =>
  named(i, 'n1', [usualRule(i)], { scope: { type: 'selector', labels: { app: 'web' } } });
const ownLabels = Array.from({ length: 14 }, (_, i) => `l${i}`);
/** Each by other labels of the same pod: who comes or goes makes another set of policies of it, which is compiled anew. */
const selectingEach = (i: number): AuthorizationPolicy => {
  const chosen = ownLabels.filter((_, bit) => ((i + 1) >> bit) & 1);
  const labels = Object.fromEntries(chosen.map((name) => [name, 'x']));
  return named(i, 'n1', [usualRule(i)], { scope: { type: 'selector', labels } });
};
/** Nothing to file a rule under: the worst there is. */
const negativeOnly = (i: number): AuthorizationPolicy =>
  named(i, 'n1', [{ from: [{ notNamespaces: ['n3', `x${i}`] }] }], { action: 'deny' });
const long = (): AuthorizationPolicy =>
  named(1, 'n1', [{ from: [{ principals: Array.from({ length: 10_000 }, (_, i) => account(i)) }] }]);

const cases: readonly Case[] = [
  { name: 'in 100 namespaces', policies: 1_000, policyOf: everywhere, target: 20 },
  { name: 'in 100 namespaces', policies: 10_000, policyOf: everywhere, target: 50 },
  { name: 'all on one workload', policies: 1_000, policyOf: onOne, target: 20 },
  { name: 'all on one workload', policies: 10_000, policyOf: onOne, target: 50 },
  { name: 'all on one workload, by one selector', policies: 10_000, policyOf: selecting, target: 50 },
  {
    name: 'all on one workload, by a selector each',
    policies: 10_000,
    policyOf: selectingEach,
    target: Infinity,
  },
  { name: 'one with 10 000 principals', policies: 1, policyOf: long, target: 20 },
  {
    name: 'all on one workload, negative conditions alone',
    policies: 1_000,
    policyOf: negativeOnly,
    target: Infinity,
  },
];

const workload: Workload = pod('n1/web', {
  ips: ['10.200.0.1'],
  labels: { app: 'web', ...Object.fromEntries(ownLabels.map((name) => [name, 'x'])) },
});
const memoryTarget = 2048;
/** Microseconds, right after a change among many. */
const afterChangeTarget = 50;
const decisions = 10_000;
const rounds = 5;
const changes = 300;

interface Result {
  readonly name: string;
  readonly policies: number;
  /** CPU time of a decision, in microseconds: the median round's mean. */
  readonly decisionUs: number;
  readonly targetUs: number | null;
  /** Of the first decision after a change of one policy, in microseconds: the median, and the worst of many changes. */
  readonly afterChangeUs: number;
  readonly afterChangeWorstUs: number;
  /** Of taking the change over, before that decision, in microseconds. */
  readonly changeUs: number;
  /** Object, compiled form and indexes. */
  readonly bytesPerPolicy: number;
  readonly allowedShare: number;
}

const identities: readonly (SpiffeId | undefined)[] = [
  undefined,
  ...Array.from({ length: 64 }, (_, i) => parseSpiffeId(`spiffe://${account(i * 131)}`)),
  parseSpiffeId('spiffe://cluster.local/ns/n3/sa/guest'),
];

const requestOf = (i: number): AccessRequest => ({
  identity: identities[i % identities.length],
  source: { ip: parseIp(`10.${i % 199}.${i % 249}.7`), port: parsePort(40_000) },
  destination: workload,
  target: { ip: parseIp('10.200.0.1'), port: parsePort(1000 + (i % 50)) },
});
const requests = Array.from({ length: 1009 }, (_, i) => requestOf(i));

/** Of this process, in microseconds: others on the machine do not count. */
function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function measure({ name, policies: count, policyOf, target }: Case): Result {
  const before = heap();
  const policies = Array.from({ length: count }, (_, i) => policyOf(i));
  const store = meshOf({ workloads: [workload], policies });
  const authorize = createAuthorizer();
  const decide = (i: number): boolean =>
    authorize(store.view, requests[i % requests.length] ?? requestOf(i)).allowed;
  const allowed = Array.from({ length: decisions }, (_, i) => decide(i)).filter(Boolean).length;
  const bytes = (heap() - before) / count;
  const times = Array.from({ length: rounds }, () => {
    const start = cpuUs();
    for (let i = 0; i < decisions; i++) decide(i);
    return (cpuUs() - start) / decisions;
  });
  const changed = Array.from({ length: changes }, (_, i) => changeOne(store, policies, policyOf, i, decide));
  return {
    name,
    policies: count,
    decisionUs: median(times) ?? Number.NaN,
    targetUs: Number.isFinite(target) ? target : null,
    afterChangeUs: median(changed.map(({ decisionUs }) => decisionUs)) ?? Number.NaN,
    afterChangeWorstUs: Math.max(...changed.map(({ decisionUs }) => decisionUs)),
    changeUs: median(changed.map(({ storeUs }) => storeUs)) ?? Number.NaN,
    bytesPerPolicy: bytes,
    allowedShare: allowed / decisions,
  };
}

/** In turn one is gone, is back, and says something else; timed by the clock, because it is so short. */
function changeOne(
  store: MeshStore,
  policies: readonly AuthorizationPolicy[],
  policyOf: Case['policyOf'],
  i: number,
  decide: (i: number) => boolean,
): { readonly decisionUs: number; readonly storeUs: number } {
  const at = Math.floor(i / 3) * 7919;
  const policy = policies[at % policies.length] ?? policyOf(0);
  const other = { ...policyOf(at + 1), key: policy.key, namespace: policy.namespace, name: policy.name };
  const next = [undefined, policy, other][i % 3];
  const start = performance.now();
  store.apply({
    workloads: new Map(),
    services: new Map(),
    policies: new Map([[policy.key, next]]),
    peerAuthentications: new Map(),
  });
  const between = performance.now();
  decide(i);
  return { decisionUs: (performance.now() - between) * 1000, storeUs: (between - start) * 1000 };
}

function heap(): number {
  if (globalThis.gc === undefined) throw new Error('run it with node --expose-gc, as make bench-policy does');
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}

/** One with 10 000 principals may be larger; the target is about many. */
const failed = ({ policies, decisionUs, afterChangeUs, targetUs, bytesPerPolicy }: Result): boolean =>
  targetUs !== null &&
  (decisionUs > targetUs ||
    (policies > 1 && (afterChangeUs > afterChangeTarget || bytesPerPolicy > memoryTarget)));

function table(results: readonly Result[]): string {
  const rows = results.map((result) => [
    String(result.policies),
    result.name,
    `${result.decisionUs.toFixed(2)} us`,
    result.targetUs === null ? '-' : `${result.targetUs} us`,
    `${result.afterChangeUs.toFixed(0)} us`,
    `${result.afterChangeWorstUs.toFixed(0)} us`,
    `${Math.round(result.bytesPerPolicy)} B`,
    failed(result) ? 'MISSED' : 'ok',
  ]);
  const all = [
    ['POLICIES', 'WHICH', 'DECISION', 'TARGET', 'AFTER A CHANGE', 'WORST', 'MEMORY A POLICY', ''],
    ...rows,
  ];
  const widths = all.reduce<number[]>(
    (most, row) => row.map((cell, i) => Math.max(most[i] ?? 0, cell.length)),
    [],
  );
  return all
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

// Once for the compiler of the machine.
measure({ name: 'warm-up', policies: 500, policyOf: onOne, target: Infinity });
const results = cases.map(measure);
process.stdout.write(
  process.argv.includes('--json') ? `${JSON.stringify(results, undefined, 2)}\n` : `${table(results)}\n`,
);
process.exitCode = results.some(failed) ? 1 : 0;
