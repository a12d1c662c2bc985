import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import * as fc from 'fast-check';
import { MeshError } from '../../../src/base/errors.ts';
import { type Logger, silentLogger } from '../../../src/base/log.ts';
import { CertificateAuthority } from '../../../src/controller/ca/authority.ts';
import { AuthorityDirectory } from '../../../src/controller/ca/authority-directory.ts';
import { CaService, type CaServiceDeps, type SigningCall } from '../../../src/controller/ca-service.ts';
import { type Authenticator, type Caller, stranger } from '../../../src/controller/caller.ts';
import { MeshIssuancePolicy } from '../../../src/controller/mesh-issuance-policy.ts';
import { createCsr } from '../../../src/identity/csr.ts';
import { generateKeyPair, p256 } from '../../../src/identity/key-pair.ts';
import { parseSpiffeId, type SpiffeId } from '../../../src/model/identity.ts';
import type { NodeName, Workload } from '../../../src/model/mesh.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { meshOf, pod } from '../../support/mesh-builder.ts';
import { idOf, trustDomain } from '../identity/support/fake-ca.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

const [web, db, admin] = [idOf('web'), idOf('db'), idOf('admin')];
const foreign = parseSpiffeId('spiffe://other.example/ns/shop/sa/web');

const callers: Record<string, Caller> = {
  'token-a': { type: 'node', node: 'node-a' as NodeName },
  'token-b': { type: 'node', node: 'node-b' as NodeName },
  'token-nowhere': { type: 'node', node: 'nowhere' as NodeName },
  'token-web': { type: 'workload', namespace: 'shop', serviceAccount: 'web' },
};
const authenticator: Authenticator = {
  authenticate: async (token) => callers[token] ?? stranger('make a join token'),
};

const workloads: readonly Workload[] = [
  pod('shop/web-1', { ips: ['10.0.0.1'], node: 'node-a', serviceAccount: 'web' }),
  pod('shop/db-1', { ips: ['10.0.0.2'], node: 'node-b', serviceAccount: 'db' }),
  pod('shop/plain', { ips: ['10.0.0.3'], node: 'node-a', serviceAccount: 'admin', protocol: 'tcp' }),
  { ...pod('shop/host', { ips: ['10.0.0.4'], node: 'node-a', serviceAccount: 'admin' }), hostNetwork: true },
];

let directory: string;
let authority: CertificateAuthority;
let clock: FakeClock;
let audit: Record<string, unknown>[];
const csrs = new Map<SpiffeId, string>();

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-ca-'));
  clock = new FakeClock();
  authority = await CertificateAuthority.open(
    { store: new AuthorityDirectory(join(directory, 'ca'), trustDomain), trustDomain },
    clock,
  );
  for (const identity of [web, db, admin, foreign]) {
    csrs.set(identity, await createCsr(identity, await generateKeyPair()));
  }
});
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(() => {
  audit = [];
});

const record = (fields: Record<string, unknown>): void => void audit.push(fields);
const log: Logger = {
  ...silentLogger,
  debug: record,
  info: record,
  warn: record,
  error: record,
  child: () => log,
};

const service = (overrides: Partial<CaServiceDeps> = {}): CaService => {
  const policy = new MeshIssuancePolicy(meshOf({ workloads }));
  return new CaService({ authority, authenticator, policy, clock, log, ...overrides });
};

interface CallSpec {
  readonly token?: string;
  readonly csr?: string;
  readonly as?: string;
  readonly seconds?: bigint;
}

const call = ({ token, csr = csrs.get(web) ?? '', as, seconds = 0n }: CallSpec): SigningCall => ({
  token,
  peer: '10.1.1.1:4711',
  message: {
    csr,
    validityDuration: seconds,
    metadata:
      as === undefined ? undefined : { fields: new Map([['ImpersonatedIdentity', { stringValue: as }]]) },
  },
});

const broken: CaServiceDeps['authority'] = {
  trustDomain,
  issue: async () => {
    throw new MeshError('CA_STATE', 'secret path /etc/ca is damaged');
  },
};

/** A request without any SAN. */
async function nameless(): Promise<string> {
  const keys = await generateKeyPair();
  return (await Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm: p256 })).toString('pem');
}

const ask = (spec: CallSpec) => service().create(call(spec));

describe('a node', () => {
  it('gets a certificate for a meshed pod on it, as leaf, intermediate and roots', async () => {
    const answer = await ask({ token: 'token-a', as: web });
    if (answer.type !== 'issued') throw new Error(answer.reason);
    expect(answer.certificateChain).toHaveLength(3);
    expect(new X509Certificate(answer.certificateChain[0] ?? '').subjectAltName).toBe(`URI:${web}`);
    expect(answer.certificateChain[2]).toBe(authority.trustBundle());
  });

  it('may name the identity in the CSR, in the metadata, or in both', async () => {
    const asks = [{}, { as: web }, { csr: await nameless(), as: web }];
    const types = await Promise.all(
      asks.map(async (spec) => (await ask({ token: 'token-a', ...spec })).type),
    );
    expect(types).toEqual(['issued', 'issued', 'issued']);
  });

  it.each([
    ['a pod of another node', 'token-a', db],
    ['a pod that is not in the mesh, or shares the node’s network', 'token-a', admin],
    ['any pod, when it has none', 'token-nowhere', web],
    ['another trust domain', 'token-a', foreign],
  ])('gets nothing for %s', async (_what, token, identity) => {
    const answer = await ask({ token, csr: csrs.get(identity) ?? '' });
    expect(answer).toMatchObject({ type: 'refused', status: 'PERMISSION_DENIED' });
  });

  it('has to name an identity', async () => {
    const answer = await ask({ token: 'token-a', csr: await nameless() });
    expect(answer).toMatchObject({
      status: 'INVALID_ARGUMENT',
      reason: expect.stringContaining('no identity'),
    });
  });

  it('cannot say one thing in the CSR and another in the metadata', async () => {
    const answer = await ask({ token: 'token-a', csr: csrs.get(db) ?? '', as: web });
    expect(answer).toMatchObject({ status: 'INVALID_ARGUMENT', reason: expect.stringContaining('sa/db') });
  });

  it('loses the right with the pod’s last trace on it', async () => {
    const mesh = meshOf({ workloads });
    const policy = new MeshIssuancePolicy(mesh);
    const node = callers['token-a'] as Caller;
    expect(await policy.decide(node, web)).toEqual({ allowed: true });
    mesh.replace({ workloads: workloads.slice(1), services: [], policies: [], peerAuthentications: [] });
    expect(await policy.decide(node, web)).toMatchObject({
      allowed: false,
      reason: expect.stringContaining('node-a'),
    });
  });
});

describe('a workload with a token of its own', () => {
  it('gets its own identity, and no other, wherever its pods are', async () => {
    expect((await ask({ token: 'token-web' })).type).toBe('issued');
    expect((await ask({ token: 'token-web', csr: await nameless() })).type).toBe('issued');
    const other = await ask({ token: 'token-web', csr: csrs.get(db) ?? '' });
    expect(other).toMatchObject({
      status: 'PERMISSION_DENIED',
      reason: expect.stringContaining('shop/web only'),
    });
  });

  it('gets nothing in another trust domain', async () => {
    const answer = await ask({ token: 'token-web', csr: csrs.get(foreign) ?? '' });
    expect(answer).toMatchObject({
      status: 'PERMISSION_DENIED',
      reason: expect.stringContaining('cluster.local'),
    });
  });
});

describe('refusals', () => {
  it.each<[string, CallSpec, string, RegExp]>([
    ['no token', {}, 'UNAUTHENTICATED', /token file/],
    ['an unknown token', { token: 'wrong' }, 'UNAUTHENTICATED', /join token/],
    ['junk for a CSR', { token: 'token-a', csr: 'junk' }, 'INVALID_ARGUMENT', /PKCS #10/],
    ['junk for an identity', { token: 'token-a', as: 'web' }, 'INVALID_ARGUMENT', /spiffe:/],
  ])('of %s say what to do', async (_what, spec, status, reason) => {
    expect(await ask(spec)).toMatchObject({ status, reason: expect.stringMatching(reason) });
  });

  it('of a caller that asks too often affect nobody else', async () => {
    const limited = service({ limit: { perSecond: 1, burst: 2 } });
    const statuses = [];
    for (const token of ['token-a', 'token-a', 'token-a', 'token-web']) {
      statuses.push(await limited.create(call({ token })));
    }
    expect(statuses.map((a) => (a.type === 'issued' ? a.type : a.status))).toEqual([
      'issued',
      'issued',
      'RESOURCE_EXHAUSTED',
      'issued',
    ]);
  });

  it('for a fault of ours tell the caller the code, and the log the rest', async () => {
    const answer = await service({ authority: broken }).create(call({ token: 'token-a' }));
    expect(answer).toMatchObject({ status: 'INTERNAL', reason: expect.stringContaining('CA_STATE') });
    expect(JSON.stringify(answer)).not.toContain('secret path');
    expect(audit).toEqual([expect.objectContaining({ audit: 'failed', code: 'CA_STATE' })]);
  });
});

describe('the audit log', () => {
  it('has one line for each answer: who, what, from where, and the serial or the reason', async () => {
    const issued = await ask({ token: 'token-a' });
    await ask({ token: 'token-b' });
    const chain = issued.type === 'issued' ? issued.certificateChain : [];
    const { serialNumber } = new X509Certificate(chain[0] ?? '');
    expect(audit).toEqual([
      expect.objectContaining({
        audit: 'issued',
        caller: 'node/node-a',
        identity: web,
        serial: serialNumber,
      }),
      expect.objectContaining({
        audit: 'refused',
        caller: 'node/node-b',
        identity: web,
        status: 'PERMISSION_DENIED',
      }),
    ]);
  });

  it('never has a token', async () => {
    await ask({ token: 'token-a' });
    await ask({ token: 'wrong-token' });
    expect(JSON.stringify(audit)).not.toMatch(/token-a|wrong-token/);
  });

  it('is not flooded by one address guessing tokens', async () => {
    const guessed = service();
    for (let i = 0; i < 500; i += 1) await guessed.create(call({ token: `guess-${i}` }));
    expect(audit.length).toBeLessThanOrEqual(10);
    expect((await guessed.create(call({ token: 'token-a' }))).type).toBe('issued');
  });
});

describe('lifetime asked for', () => {
  it.each([
    [0n, 86_400],
    [-1n, 86_400],
    [3_600n, 3_600],
    [9_223_372_036_854_775_807n, 86_400],
  ])('%d seconds gives %d', async (seconds, given) => {
    const answer = await ask({ token: 'token-a', seconds });
    const chain = answer.type === 'issued' ? answer.certificateChain : [];
    const { validToDate } = new X509Certificate(chain[0] ?? '');
    expect((validToDate.getTime() - clock.now()) / 1000).toBe(given);
  });
});

const likely = <T>(arbitrary: fc.Arbitrary<T>) => ({ weight: 4, arbitrary });

describe('no input whatever', () => {
  const allowed = new Map<string | undefined, readonly string[]>([
    ['token-a', [web]],
    ['token-b', [db]],
    ['token-web', [web]],
  ]);

  it('makes the service issue an identity outside the policy', async () => {
    const any = service({ limit: { perSecond: 1e9, burst: 1e9 } });
    const uris = fc.constantFrom<string | undefined>(undefined, web, db, admin, foreign, `${web}/`, '');
    const spec = fc.record({
      token: fc.oneof(likely(fc.constantFrom(undefined, ...Object.keys(callers))), fc.string()),
      csr: fc.oneof(likely(fc.constantFrom<string>(web, db, admin, foreign)), fc.string()),
      as: fc.oneof(likely(uris), fc.string()),
      seconds: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    });
    let issued = 0;
    await fc.assert(
      fc.asyncProperty(spec, async ({ token, csr, as, seconds }) => {
        const pem = csrs.get(csr as SpiffeId) ?? csr;
        const request = call({ csr: pem, seconds, ...(as === undefined ? {} : { as }) });
        const answer = await any.create({ ...request, token });
        if (answer.type === 'refused') return;
        issued += 1;
        const leaf = new X509Certificate(answer.certificateChain[0] ?? '');
        expect((allowed.get(token) ?? []).map((identity) => `URI:${identity}`)).toContain(
          leaf.subjectAltName,
        );
        expect(leaf.ca).toBe(false);
        expect(leaf.validToDate.getTime()).toBeLessThanOrEqual(clock.now() + 86_400_000);
      }),
      { numRuns: 500 },
    );
    expect(issued).toBeGreaterThan(10);
  });
});
