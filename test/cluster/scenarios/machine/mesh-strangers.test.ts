/**
 * Who asks the certificate authority for what is not theirs gets nothing: the real controller, whose tokens the real
 * API server reviews. On this machine's cluster, whose key for service accounts can sign a token of the past.
 */
import { sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { V1Pod } from '@kubernetes/client-node';
import { meshNamespace, nodeAgentName } from '../../../../src/controller/kubernetes/names.ts';
import { fortioImage } from '../../artifacts/build.ts';
import { running } from '../../commands/context.ts';
import type { ClusterApi } from '../../support/api.ts';
import { Authority, identityOf, tokenFor } from '../../support/authority.ts';
import { clusterUnderTest, context } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { installedMesh } from '../../support/mesh.ts';
import { agentOn, samplesOf } from '../../support/metrics.ts';
import { type Pair, pairManifest, whenPairReady } from '../../support/pair.ts';

const namespace = 'mesh-test-strangers';
const minutes = 60_000;
let api: ClusterApi;
let authority: Authority;
let pair: Pair;
/** The node program's own pods. */
let ofWeb: V1Pod;
let ofCart: V1Pod;

beforeAll(async () => {
  api = await clusterUnderTest();
  await installedMesh();
  await api.apply(pairManifest(namespace, { mode: 'ambient' }));
  pair = await whenPairReady(api, namespace);
  const agent = async (node: string): Promise<V1Pod> =>
    api.core.readNamespacedPod({ namespace: meshNamespace, name: await agentOn(api, node) });
  [ofWeb, ofCart] = [await agent(pair.web.node), await agent(pair.cart.node)];
  authority = await Authority.open(api);
}, 15 * minutes);

afterAll(async () => {
  await authority.close();
  await api.deleteNamespace(namespace);
}, 4 * minutes);

const web = identityOf(namespace, 'web');

const refusal = (status: string, message: RegExp) => ({
  code: 'CA_REFUSED',
  message: expect.stringMatching(message),
  details: { grpcStatus: status },
});

it(
  'a node gets a certificate for a service account that has a pod on it',
  async () => {
    const [leaf] = await authority.sign(await tokenFor(api, { pod: ofWeb }), web);
    expect(leaf).toContain('BEGIN CERTIFICATE');
  },
  minutes,
);

it(
  'the token of another node gives nothing of this node, nor does it become this node by asking',
  async () => {
    await expect(authority.sign(await tokenFor(api, { pod: ofCart }), web)).rejects.toMatchObject(
      refusal(
        'PERMISSION_DENIED',
        new RegExp(`no pod of service account ${namespace}/web is on node ${pair.cart.node}`),
      ),
    );
  },
  minutes,
);

it(
  'a request for a service account that has a pod nowhere, or is in another trust domain, is refused',
  async () => {
    const token = await tokenFor(api, { pod: ofWeb });
    await expect(authority.sign(token, identityOf(namespace, 'nobody'))).rejects.toMatchObject(
      refusal('PERMISSION_DENIED', /no pod of service account mesh-test-strangers\/nobody/),
    );
    const foreign = web.replace('cluster.local', 'example.org') as typeof web;
    await expect(authority.sign(token, foreign)).rejects.toMatchObject(
      refusal('PERMISSION_DENIED', /trust domain cluster\.local only/),
    );
  },
  minutes,
);

it(
  'a token for another audience is refused, such as the one that every pod has',
  async () => {
    const audience = 'https://kubernetes.default.svc.cluster.local';
    await expect(authority.sign(await tokenFor(api, { pod: ofWeb, audience }), web)).rejects.toMatchObject(
      refusal('UNAUTHENTICATED', /not for the audience mesh-ebpf-ca/),
    );
  },
  minutes,
);

it(
  'an expired token is refused, and one that nobody signed',
  async () => {
    const token = await tokenFor(api, { pod: ofWeb });
    const hour = 3600;
    const now = Math.floor(Date.now() / 1000);
    const past = { iat: now - 3 * hour, nbf: now - 3 * hour, exp: now - hour };
    await expect(authority.sign(await resigned(token, past), web)).rejects.toMatchObject(
      refusal('UNAUTHENTICATED', /the token expired at \d{4}-/),
    );
    // The same key, the same claims, valid: what is refused above is its age, and nothing else.
    expect(
      (await authority.sign(await resigned(token, { jti: 'of-this-test' }), web)).length,
    ).toBeGreaterThan(0);

    await expect(authority.sign(`${token.slice(0, -16)}AAAAAAAAAAAAAAAA`, web)).rejects.toMatchObject(
      refusal('UNAUTHENTICATED', /the API server does not accept the token/),
    );
  },
  minutes,
);

it(
  'a token that is bound to no pod, or belongs to another service account, is refused',
  async () => {
    await expect(authority.sign(await tokenFor(api, { pod: undefined }), web)).rejects.toMatchObject(
      refusal('UNAUTHENTICATED', /not bound to a pod/),
    );
    const pod = await api.core.readNamespacedPod(pair.web);
    await expect(
      authority.sign(await tokenFor(api, { pod, serviceAccount: 'web' }), web),
    ).rejects.toMatchObject(
      refusal('UNAUTHENTICATED', /system:serviceaccount:mesh-test-strangers:web’s; only the node program/),
    );
  },
  minutes,
);

it(
  'the token of a pod that is gone is refused, however long it would be valid',
  async () => {
    const pod = await shortLivedAgent();
    const token = await tokenFor(api, { pod });
    const place = { namespace: meshNamespace, name: pod.metadata?.name ?? '' };
    await api.core.deleteNamespacedPod({ ...place, gracePeriodSeconds: 0 });
    await eventually(
      'the pod is gone',
      async () => (await api.pods(meshNamespace)).map(({ metadata }) => metadata?.name),
      (names) => !names.includes(place.name),
      minutes,
    );
    await expect(authority.sign(token, web)).rejects.toMatchObject(
      refusal('UNAUTHENTICATED', /does not accept the token|gone or on no node/),
    );
  },
  3 * minutes,
);

it(
  'every refusal is counted by the controllers',
  async () => {
    const controllers = await api.pods(meshNamespace, 'app.kubernetes.io/name=mesh-ebpf-controller');
    const samples = await Promise.all(
      controllers.map(({ metadata }) => samplesOf(api, metadata?.name ?? '', 'mesh_authority_answers_total')),
    );
    const sum = (result: string): number =>
      samples
        .flat()
        .filter(({ labels }) => labels['result'] === result)
        .reduce((total, { value }) => total + value, 0);
    expect(sum('PERMISSION_DENIED')).toBeGreaterThanOrEqual(3);
    expect(sum('UNAUTHENTICATED')).toBeGreaterThanOrEqual(6);
  },
  minutes,
);

/** With the service account of the node program: as good as one, until it is deleted. */
async function shortLivedAgent(): Promise<V1Pod> {
  return api.core.createNamespacedPod({
    namespace: meshNamespace,
    body: {
      metadata: { generateName: 'mesh-test-agent-' },
      spec: {
        serviceAccountName: nodeAgentName,
        nodeName: pair.web.node,
        containers: [
          { name: 'agent', image: fortioImage, imagePullPolicy: 'IfNotPresent', args: ['server'] },
        ],
      },
    },
  });
}

/** With these claims instead, signed by the API server's own key. */
async function resigned(token: string, claims: object): Promise<string> {
  const { machine } = await running(context);
  const key = await readFile(machine.layout.pki('service-account.key'), 'utf8');
  const [header = '', body = ''] = token.split('.');
  const { alg } = parsePart(header) as { readonly alg: string };
  const signed = `${header}.${Buffer.from(JSON.stringify({ ...parsePart(body), ...claims })).toString('base64url')}`;
  // ES256 and RS256 (RFC 7518 §3.1).
  const signature = sign(
    'sha256',
    Buffer.from(signed),
    alg.startsWith('ES') ? { key, dsaEncoding: 'ieee-p1363' } : key,
  );
  return `${signed}.${signature.toString('base64url')}`;
}

const parsePart = (part: string): object =>
  JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as object;
