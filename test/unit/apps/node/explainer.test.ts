import { describe, expect, it } from '@jest/globals';
import type { PodState } from '../../../../src/agent/pod-state.ts';
import { createNodeExplainer } from '../../../../src/apps/node/explainer.ts';
import { MeshError } from '../../../../src/base/errors.ts';
import type { CertificateStatus } from '../../../../src/identity/certificate-entry.ts';
import type { SourceStatus } from '../../../../src/kube/source.ts';
import type { NodeName } from '../../../../src/model/mesh.ts';
import { createCompiler } from '../../../../src/policy/authorize.ts';
import type { ExplanationBody } from '../../../../src/telemetry/explanation-types.ts';
import { meshOf, pod } from '../../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'] });
const far = pod('shop/far', { ips: ['10.0.1.1'], node: 'node-b' });
const near = pod('shop/near', { ips: ['10.0.0.3'] });
const live: SourceStatus = { name: 'directory /x', state: 'live', lastEventAt: 1, conditions: [] };
const enrolled: PodState = { state: 'enrolled', since: 1, proof: undefined };
const certificate: CertificateStatus = {
  identity: web.identity,
  state: 'valid',
  certificate: undefined,
  lifeUsed: 0.1,
  nextAttemptAt: undefined,
  requesting: false,
  failures: 0,
  lastError: undefined,
};

interface Known {
  readonly state?: PodState | undefined;
  readonly certificate?: Partial<CertificateStatus>;
  readonly source?: Partial<SourceStatus>;
  readonly kernelPath?: { readonly node: NodeName };
}

function ask(known: Known, from = 'shop/web', to = 'pod/shop/far:80'): ExplanationBody {
  const explain = createNodeExplainer({
    node: 'node-a' as NodeName,
    mesh: meshOf({ workloads: [web, near, far] }),
    enrolment: { stateOf: () => ('state' in known ? known.state : enrolled) },
    certificates: { status: () => [{ ...certificate, ...known.certificate }] },
    policySetFor: createCompiler(),
    sourceStatus: () => ({ ...live, ...known.source }),
    kernelPath: known.kernelPath,
  });
  return explain({ from, to }) as ExplanationBody;
}

describe('a connection within the node', () => {
  const pathTo = (kernelPath?: Known['kernelPath']): unknown =>
    ask(kernelPath === undefined ? {} : { kernelPath }, 'shop/web', '10.0.0.3:80').ways[0]?.path;

  it('takes the kernel path where that is switched on, and HBONE where it is not', () => {
    expect(pathTo({ node: 'node-a' as NodeName })).toBe('kernel');
    expect(pathTo()).toBe('hbone');
    expect(pathTo({ node: 'node-b' as NodeName })).toBe('hbone');
  });
});

describe('what a node answers of a connection', () => {
  it('is by its own pods as they are, and by others’ as they should be', () => {
    expect(ask({})).toMatchObject({
      outcome: 'allowed',
      capture: { captured: true },
      source: { certificate: { state: 'valid' } },
    });
    const failed: PodState = {
      state: 'failed',
      since: 1,
      attempts: 3,
      error: new MeshError('NETNS', 'no namespace'),
    };
    expect(ask({ state: failed }).capture).toMatchObject({
      captured: false,
      why: expect.stringContaining('no namespace'),
    });
    expect(ask({ state: failed }, 'shop/far', 'pod/shop/web:80').outcome).toBe('failed');
  });

  it('counts a pod whose capture is not proved, or that waits for it, as not captured', () => {
    const broken: PodState = {
      state: 'enrolled',
      since: 1,
      proof: { since: 1, error: new MeshError('BPF_ATTACH', 'detached') },
    };
    for (const state of [broken, { state: 'pending' } as const, undefined]) {
      expect(ask({ state }).capture.captured).toBe(false);
    }
  });

  it('knows a certificate that cannot be had, with the reason', () => {
    const error = new MeshError('CA_REFUSED', 'the authority refused it');
    expect(ask({ certificate: { state: 'failed', lastError: { at: 1, error } } }).verdict).toMatchObject({
      outcome: 'failed',
      error: { code: 'CA_REFUSED', hop: 'certificate' },
    });
    expect(ask({ certificate: { state: 'stale', lastError: { at: 1, error } } }).outcome).toBe('allowed');
    expect(ask({ certificate: { state: 'pending' } }).verdict?.error?.code).toBe('CERTIFICATE_UNAVAILABLE');
  });

  it('says when it may be behind, and does not guess before it has heard anything', () => {
    const error = new MeshError('API_UNAVAILABLE', 'the API server is away');
    const conditions = [{ subject: 'pods', error, since: 1 }];
    expect(ask({ source: { state: 'stale', conditions } }).notes[0]).toContain('the API server is away');
    expect(() => ask({ source: { state: 'starting' } })).toThrow(
      expect.objectContaining({ code: 'UNAVAILABLE' }),
    );
  });
});
