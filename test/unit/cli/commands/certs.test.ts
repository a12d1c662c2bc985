import { describe, expect, it } from '@jest/globals';
import { certificate } from '../documents.ts';
import { fullNode, list, twoNodes } from '../fake-nodes.ts';
import { run } from '../harness.ts';

describe('mesh-ebpf certs', () => {
  it.each([
    ['valid', 0],
    ['pending', 0],
    ['expiring', 1],
    ['expired', 1],
    ['failed', 1],
  ] as const)('exits for a certificate that is %s with %i', async (state, code) => {
    const item = certificate({ state, lastError: state === 'failed' ? 'CA away' : null });
    const ran = await run('certs', {
      nodes: [fullNode('node-a', { '/v1/certs': { node: 'node-a', ...list('CertificateList', item) } })],
    });
    expect(ran.code).toBe(code);
    if (state === 'failed') expect(ran.out).toMatch(/CA away/);
  });

  it('shows when each expires and when it is renewed, node by node', async () => {
    const { out } = await run('certs', { nodes: twoNodes });
    expect(out).toMatch(/sa\/web +node-a +valid +21h +in 9h/);
    expect(out).toMatch(/sa\/web +node-b/);
  });
});
