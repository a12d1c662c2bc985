import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../../src/kube/problem.ts';
import { translatePeerAuthentication } from '../../../../src/kube/translate/peer-authentication.ts';
import { meshConfig } from '../../../support/mesh-builder.ts';
import { objectIn } from '../support.ts';

const translate = (spec: string, namespace = 'shop') =>
  translatePeerAuthentication(
    objectIn(
      'PeerAuthentication',
      `{apiVersion: security.istio.io/v1, kind: PeerAuthentication,
        metadata: {name: p, namespace: ${namespace}, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {${spec}}}`,
    ),
    meshConfig,
  );

const problemsOf = (spec: string, namespace?: string): readonly string[] =>
  translate(spec, namespace).problems.map((problem) =>
    formatProblem({ ...problem, position: undefined, object: undefined }),
  );

const selector = 'selector: {matchLabels: {app: web}}';

describe('a PeerAuthentication', () => {
  it('says how its namespace, the mesh or the pods it selects take connections', () => {
    expect(translate('mtls: {mode: STRICT}').value).toEqual({
      key: 'peerauthentication/shop/p',
      namespace: 'shop',
      name: 'p',
      createdAt: '2026-01-01T00:00:00Z',
      scope: { type: 'namespace' },
      mode: 'strict',
      ports: new Map(),
    });
    expect(translate('mtls: {mode: STRICT}', 'istio-system').value.scope).toEqual({ type: 'mesh' });
    expect(translate(`${selector}, mtls: {mode: PERMISSIVE}`).value).toMatchObject({
      scope: { type: 'selector', labels: { app: 'web' } },
      mode: 'permissive',
    });
  });

  it('may leave the mode to its parent', () => {
    for (const spec of ['', 'mtls: {}', 'mtls: {mode: UNSET}']) {
      expect(translate(spec)).toMatchObject({ value: { mode: undefined }, valid: true, problems: [] });
    }
  });

  it('has modes of ports, of which UNSET is none', () => {
    const { value } = translate(
      `${selector}, portLevelMtls: {8080: {mode: STRICT}, 8081: {mode: PERMISSIVE}, 8082: {mode: UNSET}}`,
    );
    expect([...value.ports]).toEqual([
      [8080, 'strict'],
      [8081, 'permissive'],
    ]);
  });

  it('warns that DISABLE takes mutual TLS too', () => {
    const message = 'DISABLE cannot keep mutual TLS out: both are taken, as with PERMISSIVE';
    const spec = `${selector}, mtls: {mode: DISABLE}, portLevelMtls: {80: {mode: DISABLE}}`;
    expect(translate(spec)).toMatchObject({ value: { mode: 'disable' }, valid: true });
    expect(problemsOf(spec)).toEqual([
      `warning: spec.mtls.mode: ${message}`,
      `warning: spec.portLevelMtls["80"].mode: ${message}`,
    ]);
  });

  it('warns that a selector in the root namespace selects nobody', () => {
    expect(problemsOf(`${selector}, mtls: {mode: STRICT}`, 'istio-system')).toEqual([
      'warning: spec.selector: a selector in the root namespace selects nobody: put the policy into the pods’ namespace',
    ]);
  });

  it.each([
    ['portLevelMtls: {80: {mode: PERMISSIVE}}', 'spec.portLevelMtls: modes of ports need a selector'],
    [
      `${selector}, mtls: {mode: PERMISSIVE}, portLevelMtls: {70000: {mode: STRICT}}`,
      'spec.portLevelMtls["70000"]: "70000" is not a TCP port (1-65535)',
    ],
  ])('that cannot be read requires mutual TLS: %s', (spec, problem) => {
    expect(problemsOf(spec)).toEqual([problem]);
    expect(translate(spec)).toMatchObject({ value: { mode: 'strict', ports: new Map() }, valid: false });
  });
});
