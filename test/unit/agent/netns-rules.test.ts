import { describe, expect, it } from '@jest/globals';
import { netnsRules } from '../../../src/agent/netns-rules.ts';

const netns = '/proc/1/fd/7';

function rulesOn(refuse?: string) {
  const calls: unknown[] = [];
  const call =
    (name: string) =>
    (...args: readonly unknown[]): Promise<void> => {
      calls.push([name, ...args]);
      return name === refuse
        ? Promise.reject(new Error('RTM_NEWRULE: Operation not permitted'))
        : Promise.resolve();
    };
  const native = {
    addMarkRoute: call('add'),
    removeMarkRoute: call('remove'),
    writeInNetns: call('write'),
  };
  return { rules: netnsRules(native), calls };
}

const route = (family: 4 | 6) => ({ family, mark: 0x53a, mask: 0xfff, table: 100, priority: 32_764 });

describe('the rules of a pod’s namespace', () => {
  it('are sysctls first, then a route for each family the pod has', async () => {
    const { rules, calls } = rulesOn();
    await rules.add(netns, [4]);
    expect(calls).toEqual([
      ['write', netns, expect.arrayContaining([expect.stringMatching(/ipv4\/tcp_fwmark_accept$/)]), '1'],
      ['add', netns, route(4)],
    ]);
  });

  it('touch no setting of IPv6 for a pod without it', async () => {
    const { rules, calls } = rulesOn();
    await rules.add(netns, [4]);
    expect(JSON.stringify(calls)).not.toContain('ipv6');
    await rules.add(netns, [4, 6]);
    expect(JSON.stringify(calls)).toContain('ipv6/fwmark_reflect');
  });

  it('are removed for both families, whatever the pod had', async () => {
    const { rules, calls } = rulesOn();
    await rules.remove(netns);
    expect(calls).toEqual([
      ['remove', netns, route(4)],
      ['remove', netns, route(6)],
    ]);
  });

  it('that the kernel refuses are a coded error that says where and what', async () => {
    await expect(rulesOn('add').rules.add(netns, [4])).rejects.toMatchObject({
      code: 'NETNS',
      message: expect.stringMatching(/\/proc\/1\/fd\/7.*Operation not permitted/),
    });
  });
});
