/**
 * `make bench-policy`: how long a decision takes among how many policies, and what a policy takes of memory. Prints a
 * table, or JSON with --json; fails if a target is missed. Pure code: one core, no root. Times are CPU times.
 */
import { parseIp, parsePort, parsePrefix } from '../../../src/base/ip.ts';
import { parseSpiffeId, type SpiffeId } from '../../../src/model/identity.ts';
import type { Workload } from '../../../src/model/mesh.ts';
import { type AuthorizationPolicy, type PolicyRule, policyKey } from '../../../src/model/policy.ts';
import { type AccessRequest, createAuthorizer } from '../../../src/policy/authorize.ts';
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
  { name: 'one with 10 000 principals', policies: 1, policyOf: long, target: 20 },
  {
    name: 'all on one workload, negative conditions alone',
    policies: 1_000,
    policyOf: negativeOnly,
    target: Infinity,
  },
];

const workload: Workload = pod('n1/web', { ips: ['10.200.0.1'], labels: { app: 'web' } });
const memoryTarget = 2048;
const decisions = 10_000;
const rounds = 5;

interface Result {
  readonly name: string;
  readonly policies: number;
  /** CPU time of a decision, in microseconds: the median round's mean. */
  readonly decisionUs: number;
  readonly targetUs: number | null;
  /** Of the first decision after a change of one policy, in milliseconds. */
  readonly changeMs: number;
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
  const start = cpuUs();
  store.replace({
    workloads: [workload],
    services: [],
    policies: policies.slice(1),
    peerAuthentications: [],
  });
  decide(1);
  return {
    name,
    policies: count,
    decisionUs: median(times) ?? Number.NaN,
    targetUs: Number.isFinite(target) ? target : null,
    changeMs: (cpuUs() - start) / 1000,
    bytesPerPolicy: bytes,
    allowedShare: allowed / decisions,
  };
}

function heap(): number {
  if (globalThis.gc === undefined) throw new Error('run it with node --expose-gc, as make bench-policy does');
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}

/** One with 10 000 principals may be larger; the target is about many. */
const failed = ({ policies, decisionUs, targetUs, bytesPerPolicy }: Result): boolean =>
  (targetUs !== null && decisionUs > targetUs) || (policies > 1 && bytesPerPolicy > memoryTarget);

function table(results: readonly Result[]): string {
  const rows = results.map((result) => [
    String(result.policies),
    result.name,
    `${result.decisionUs.toFixed(2)} us`,
    result.targetUs === null ? '-' : `${result.targetUs} us`,
    `${result.changeMs.toFixed(1)} ms`,
    `${Math.round(result.bytesPerPolicy)} B`,
    failed(result) ? 'MISSED' : 'ok',
  ]);
  const all = [['POLICIES', 'WHICH', 'DECISION', 'TARGET', 'AFTER A CHANGE', 'MEMORY A POLICY', ''], ...rows];
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
