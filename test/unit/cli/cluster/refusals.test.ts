import { describe, expect, it } from '@jest/globals';
import { forbidden, fromLaptop } from '../fake-cluster.ts';

describe('rights that are missing', () => {
  it('names the rule for listing pods', async () => {
    const { code, err } = await fromLaptop('status', { refuse: () => forbidden('list', 'pods') });
    expect(code).toBe(3);
    expect(err).toMatch(
      /a role in mesh-ebpf-system must grant apiGroups: \[""\], resources: \["pods"\], verbs: \["list"\]/,
    );
  });

  it('names the rule for running a program, node by node', async () => {
    const { code, err } = await fromLaptop('status', {
      start: () => Promise.reject(forbidden('get', 'pods/exec')),
    });
    expect(code).toBe(3);
    expect(err.match(/not reached: node node-.*resources: \["pods\/exec"\]/g)).toHaveLength(2);
  });
});
