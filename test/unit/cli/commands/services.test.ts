import { describe, expect, it } from '@jest/globals';
import { service } from '../documents.ts';
import { fullNode, list } from '../fake-nodes.ts';
import { run } from '../harness.ts';

describe('mesh-ebpf services', () => {
  it('makes a Service that nobody serves a finding', async () => {
    const { code, out } = await run('services', {
      nodes: [
        fullNode('node-a', {
          '/v1/services': { node: 'node-a', ...list('ServiceList', service('db', { endpoints: [] })) },
        }),
      ],
    });
    expect(code).toBe(1);
    expect(out).toMatch(/shop\/db.*0\/0 connections are refused/);
  });

  it('counts ready endpoints and shows headless Services', async () => {
    const headless = service('peers', { vips: [] });
    const { out } = await run('services -o wide', {
      nodes: [fullNode('node-a', { '/v1/services': { node: 'node-a', ...list('ServiceList', headless) } })],
    });
    expect(out).toMatch(
      /shop\/peers +headless +80\/tcp +1\/1 +peers\.shop\.svc\.cluster\.local +shop\/web-1/,
    );
  });
});
