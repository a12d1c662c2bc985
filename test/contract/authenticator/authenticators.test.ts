import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { JoinTokens, makeJoinToken, revokeJoinToken } from '../../../src/controller/join-tokens.ts';
import { LivePods } from '../../../src/controller/kubernetes/pods-by-node.ts';
import { TokenReviewer } from '../../../src/controller/kubernetes/token-reviewer.ts';
import type { NodeName } from '../../../src/model/mesh.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeKubeApi } from '../../support/fake-kube-api.ts';
import { projectedToken, reviewOf, type TokenSpec } from '../../support/service-account-token.ts';
import { authenticatorContract } from './contract.ts';

// Real HTTP, perhaps while every core is busy.
jest.setTimeout(30_000);

const expected = {
  audience: 'mesh-ebpf-ca',
  nodeAgent: { namespace: 'mesh-ebpf-system', serviceAccount: 'mesh-ebpf-node' },
};
const node = (name: string) => ({ type: 'node', node: name as NodeName }) as const;
const minuteMs = 60_000;

const specOf = (name: string): TokenSpec => ({ node: name, pod: { name: `agent-${name}`, uid: name } });

authenticatorContract('a file of join tokens', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-tokens-'));
  const path = join(directory, 'tokens.json');
  return {
    authenticator: new JoinTokens(path),
    tokenOf: (name) => makeJoinToken(path, node(name)),
    revoke: (name) => void revokeJoinToken(path, node(name)),
    breakDown: () => rmSync(path),
    close: () => rmSync(directory, { recursive: true }),
  };
});

authenticatorContract('reviews by the API server', async () => {
  const { api, reviewer, clock } = await startReviewer();
  const known = new Map<string, object>();
  api.review = (token) => known.get(token) ?? { authenticated: false, error: 'invalid bearer token' };
  return {
    authenticator: reviewer,
    tokenOf: (name) => {
      known.set(projectedToken(specOf(name)), reviewOf(specOf(name)));
      return projectedToken(specOf(name));
    },
    revoke: async (name) => {
      known.delete(projectedToken(specOf(name)));
      await clock.advance(minuteMs);
    },
    breakDown: () => {
      api.fail = () => ({ status: 503, message: 'etcd is away' });
    },
    close: async () => await api.stop(),
  };
});

async function startReviewer() {
  const api = await FakeKubeApi.start();
  const clock = new FakeClock();
  const client = api.client();
  const reviewer = new TokenReviewer({ client, pods: new LivePods(client), clock }, expected);
  return { api, clock, reviewer };
}

describe('a token that the API server reviews', () => {
  let rig: Awaited<ReturnType<typeof startReviewer>>;
  const reviews = (): number => rig.api.seen.filter(({ path }) => path.endsWith('/tokenreviews')).length;
  const ask = (spec: TokenSpec, peer = '10.0.0.1') => rig.reviewer.authenticate(projectedToken(spec), peer);

  beforeEach(async () => {
    rig = await startReviewer();
    rig.api.review = () => reviewOf();
  });
  afterEach(() => rig.api.stop());

  it.each<[string, TokenSpec, RegExp]>([
    ['for another audience', { audience: 'vault' }, /for vault, not for the audience mesh-ebpf-ca/],
    ['that has expired', { expiresAt: Date.UTC(2020, 0, 1) }, /expired at 2020-01-01/],
    ['that is not bound to a pod', { pod: null }, /not bound to a pod/],
  ])('%s is refused by its own word, without a question to the API server', async (_what, spec, reason) => {
    expect(await ask(spec)).toMatchObject({ type: 'stranger', reason: expect.stringMatching(reason) });
    expect(reviews()).toBe(0);
  });

  it.each<[string, object, RegExp]>([
    ['is not its own', { authenticated: false, error: 'signature invalid' }, /does not accept .* signature/],
    ['is another service account’s', reviewOf({ account: 'shop:web' }), /shop:web’s; only the node program/],
    ['is for other audiences after all', reviewOf({ audience: 'vault' }), /not for the audience/],
    ['has no audience at all', { ...reviewOf(), audiences: undefined }, /not for the audience/],
    ['is not bound to a pod after all', reviewOf({ pod: null }), /not bound to a pod/],
  ])('is refused when the API server finds that it %s', async (_what, status, reason) => {
    rig.api.review = () => status;
    expect(await ask({})).toMatchObject({ type: 'stranger', reason: expect.stringMatching(reason) });
  });

  it('is asked about for its own audience, once a minute and not once a request', async () => {
    let audiences: readonly string[] = [];
    rig.api.review = (_token, asked) => {
      audiences = asked;
      return reviewOf();
    };
    for (let i = 0; i < 20; i += 1) expect(await ask({})).toEqual(node('node-a'));
    expect([reviews(), audiences]).toEqual([1, ['mesh-ebpf-ca']]);
    await rig.clock.advance(minuteMs);
    await ask({});
    expect(reviews()).toBe(2);
  });

  it('is never remembered beyond its own end', async () => {
    const expiresAt = rig.clock.now() + 10_000;
    expect(await ask({ expiresAt })).toEqual(node('node-a'));
    await rig.clock.advance(10_000);
    expect(await ask({ expiresAt })).toMatchObject({ reason: expect.stringContaining('expired') });
  });

  it('still counts for a minute when the API server goes away, and then nothing does', async () => {
    expect(await ask({})).toEqual(node('node-a'));
    rig.api.fail = () => ({ status: 500 });
    expect(await ask({})).toEqual(node('node-a'));
    await rig.clock.advance(minuteMs);
    await expect(ask({})).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    rig.api.fail = () => undefined;
    expect(await ask({})).toEqual(node('node-a'));
  });

  it('says nothing of its node to an old API server: the pod of that name and UID does', async () => {
    rig.api.review = () => reviewOf({ node: null });
    const path = '/api/v1/namespaces/mesh-ebpf-system/pods/mesh-ebpf-node-x1';
    rig.api.put(path, { metadata: { uid: 'uid-1' }, spec: { nodeName: 'node-c' } });
    expect(await ask({})).toEqual(node('node-c'));
    rig.api.put(path, { metadata: { uid: 'uid-of-its-successor' }, spec: { nodeName: 'node-c' } });
    await rig.clock.advance(minuteMs);
    expect(await ask({})).toMatchObject({ reason: expect.stringContaining('is gone') });
  });

  it('made up in great number by one address is not reviewed; other addresses are', async () => {
    rig.api.review = () => ({ authenticated: false });
    const guesses = Array.from({ length: 100 }, (_, i) => ({ pod: { name: `guess-${i}`, uid: 'x' } }));
    const answers = await Promise.allSettled(guesses.map(async (spec) => await ask(spec, '10.9.9.9')));
    expect(reviews()).toBeLessThanOrEqual(20);
    expect(answers.at(-1)).toMatchObject({ status: 'rejected', reason: { code: 'OVERLOADED' } });
    rig.api.review = () => reviewOf();
    expect(await ask({}, '10.0.0.1')).toEqual(node('node-a'));
  });

  it('of which the controller may not ask is a fault of the installation that names the missing rule', async () => {
    rig.api.fail = () => ({
      status: 403,
      reason: 'Forbidden',
      message:
        'User "system:serviceaccount:a:b" cannot create resource "tokenreviews" in API group "authentication.k8s.io" at the cluster scope',
    });
    await expect(ask({})).rejects.toMatchObject({
      code: 'API_FORBIDDEN',
      message: 'service account a/b may not create tokenreviews.authentication.k8s.io',
      hint: expect.stringContaining('resources: ["tokenreviews"], verbs: ["create"]'),
    });
  });
});
