/** Whatever the mesh and the connection: what is explained is what happens. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { formatSocketAddress, type SocketAddress } from '../../../../src/base/ip.ts';
import type { ConnectionRecord } from '../../../../src/model/connection.ts';
import type { Workload } from '../../../../src/model/mesh.ts';
import type { MeshStore } from '../../../../src/model/store.ts';
import type { Decision, EnginePod } from '../../../../src/net/engine.ts';
import {
  accessFacts,
  type AccessRequest,
  createAuthorizer,
  createCompiler,
} from '../../../../src/policy/authorize.ts';
import { egressVerdict } from '../../../../src/policy/egress.ts';
import { explain } from '../../../../src/policy/explain.ts';
import { destinationAt } from '../../../../src/datapath/desired.ts';
import type { ExplainedVerdict } from '../../../../src/telemetry/explanation-types.ts';
import { createDecider } from '../../../../src/ztunnel/decider.ts';
import { createExplainer } from '../../../../src/ztunnel/explanation/explanation.ts';
import { at, meshOf } from '../../../support/mesh-builder.ts';
import { noKernelPath, noSessions } from '../deciding.ts';
import { pods, targets, worlds } from './worlds.ts';

const runs = { numRuns: 500, seed: 20261127 };

const [web] = pods;
if (web === undefined) throw new Error('no pods');

describe('what is said of policies', () => {
  it('has the verdict of the authorizer, and findings from which it follows', () => {
    const authorize = createAuthorizer();
    const compiler = createCompiler();
    fc.assert(
      fc.property(
        worlds,
        fc.constantFrom(...pods),
        fc.constantFrom(...pods),
        fc.boolean(),
        (world, from, to, proved) => {
          const { view } = meshOf(world);
          const request: AccessRequest = {
            identity: proved ? from.identity : undefined,
            source: { ip: from.addresses[0] ?? at('10.0.0.1:1').ip, port: at('10.0.0.1:4000').port },
            destination: to,
            target: { ip: to.addresses[0] ?? at('10.0.0.1:1').ip, port: at('10.0.0.1:80').port },
          };
          const verdict = authorize(view, request);
          const explained = explain(compiler(view, to), accessFacts(request));
          expect(explained.verdict).toEqual(verdict);

          const enforced = explained.policies.filter(({ dryRun }) => !dryRun);
          const matching = (action: string) =>
            enforced.filter((each) => each.action === action && each.matches);
          const isRefused = explained.mtls.mode === 'strict' && !proved;
          const deny = matching('custom')[0] ?? matching('deny')[0];
          const allow = matching('allow')[0];
          const hasAllow = enforced.some(({ action }) => action === 'allow');
          const decisive = deny ?? (hasAllow ? allow : undefined);
          if (isRefused) expect(verdict).toMatchObject({ allowed: false, policy: explained.mtls.policy });
          else if (decisive !== undefined) {
            const { policy, sentence } = decisive;
            expect(verdict).toMatchObject({ allowed: decisive === allow, policy, reason: sentence });
          } else if (hasAllow) expect(verdict).toMatchObject({ allowed: false, policy: undefined });
          else expect(verdict.allowed).toBe(explained.inboundDefault === undefined);
        },
      ),
      runs,
    );
  });
});

const enginePod = ({ uid, identity, addresses }: Workload): EnginePod => ({
  uid,
  identity,
  addresses,
  netns: '',
});

/** What becomes of a connection at one endpoint, and how the record has it. */
interface Happened {
  readonly endpoint: string | undefined;
  readonly record: ConnectionRecord;
}

/** Takes a connection through the deciders of both nodes, as the engines would. */
function happen(store: MeshStore, from: Workload, dialled: SocketAddress, random: () => number): Happened {
  const client = { ip: from.addresses[0] ?? dialled.ip, port: at('10.0.0.1:4000').port };
  const decider = (records: ConnectionRecord[]) =>
    createDecider({
      mesh: store,
      originalDestination: () => ({ destination: dialled, drawn: 'nothing' }),
      kernelPath: noKernelPath,
      sessions: noSessions,
      authorizer: createAuthorizer(),
      random,
      probeArrived: () => false,
      troubles: { failed: () => {}, slow: () => {} },
      now: () => 0,
      ledger: { opened: () => {}, completed: (record) => records.push(record) },
    });
  const records: ConnectionRecord[] = [];
  const outbound = decider(records).decide({
    type: 'outbound',
    pod: enginePod(from),
    client,
    local: { ip: client.ip, port: at('10.0.0.1:15001').port },
  }) as Decision;
  const route = outbound.type === 'forward' ? outbound.routes[0] : undefined;
  if (route === undefined) return { endpoint: undefined, record: finish(outbound, records) };
  const endpoint = formatSocketAddress(route.target);
  if (route.type === 'direct') return { endpoint, record: finish(outbound, records) };
  const pod = store.view.workloadByIp(route.target.ip);
  if (pod === undefined) throw new Error('HBONE to nobody');
  expect(route.expectedIdentities).toEqual([pod.identity]);
  const arrival = { pod: enginePod(pod), client, local: route.via, peerIdentity: from.identity };
  const inbound = decider(records).decide({
    type: 'hbone',
    ...arrival,
    authority: endpoint,
    headers: new Map(route.headers),
  }) as Decision;
  return { endpoint, record: finish(inbound, records) };
}

function finish(decision: Decision, records: ConnectionRecord[]): ConnectionRecord {
  const failure = decision.type === 'refuse' ? { hop: decision.hop, error: decision.error } : undefined;
  decision.observer.finished({ counts: { sent: 0, received: 0 }, failure });
  const record = records.at(-1);
  if (record === undefined) throw new Error('no record');
  return record;
}

/** As the access log has it. */
const logged = ({ error, verdict }: ConnectionRecord) => ({
  policy: verdict?.policy ?? null,
  ...(verdict === undefined ? {} : { reason: verdict.reason }),
  error: error === undefined ? null : { ...error, hint: error.hint ?? null },
});

const name = ({ namespace, name: own }: Workload): string => `pod/${namespace}/${own}`;

describe('the way of a connection', () => {
  const explainer = createExplainer({
    policySetFor: createCompiler(),
    enrolment: () => undefined,
    certificate: () => undefined,
  });

  it('is the one that ztunnel sends it, to the same end and in the same words', () => {
    const seen = new Set<ExplainedVerdict['outcome']>();
    const meshed = pods.filter(({ protocol }) => protocol === 'hbone');
    fc.assert(
      fc.property(
        worlds,
        fc.constantFrom(...meshed),
        fc.constantFrom(...targets),
        fc.double({ min: 0, max: 0.99, noNaN: true }),
        (world, from, to, chance) => {
          const store = meshOf(world);
          const dialled = at(to);
          const explained = explainer(store.view, { from: name(from), to });
          if (from.addresses.includes(dialled.ip)) return expect(explained.capture.captured).toBe(false);
          if (destinationAt(store.view, dialled.ip) === undefined) {
            const verdict = egressVerdict(store.view, from, { ...dialled, protocol: 'tcp' });
            expect(explained.capture.captured).toBe(false);
            expect(explained.outcome === 'denied').toBe(verdict?.allowed === false);
            return;
          }
          expect(explained.capture.captured).toBe(true);
          const { endpoint, record } = happen(store, from, dialled, () => chance);
          const way = explained.ways.find(({ endpoints }) =>
            endpoints.some(({ address }) => address === endpoint),
          );
          const verdict = way?.verdict ?? explained.verdict;
          if (verdict === null) throw new Error('nothing is said of it');
          seen.add(verdict.outcome);
          expect(verdict).toMatchObject(logged(record));
        },
      ),
      runs,
    );
    expect([...seen].toSorted()).toEqual(['allowed', 'denied', 'failed']);
  });

  it('is plaintext from pods that are not in the mesh, judged as such', () => {
    const old = pods.find(({ protocol }) => protocol === 'tcp') ?? web;
    fc.assert(
      fc.property(worlds, fc.constantFrom('10.1.1.2:5433', '10.1.0.3:80', '10.1.1.4:80'), (world, to) => {
        const { view } = meshOf(world);
        const target = at(to);
        const destination = view.workloadByIp(target.ip) ?? web;
        const verdict = createAuthorizer()(view, {
          identity: undefined,
          source: { ip: old.addresses[0] ?? target.ip, port: target.port },
          destination,
          target,
        });
        const { ways } = explainer(view, { from: name(old), to });
        expect(ways).toHaveLength(1);
        expect(ways[0]).toMatchObject({
          path: 'plaintext',
          tls: { proves: null },
          verdict: {
            outcome: verdict.allowed ? 'allowed' : 'denied',
            policy: verdict.policy ?? null,
            reason: verdict.reason,
          },
        });
      }),
      runs,
    );
  });
});
