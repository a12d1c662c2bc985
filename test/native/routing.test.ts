import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { native } from './support/addon.ts';
import { makeNetns, type Netns } from './support/kernel-places.ts';
import { expectNativeError } from './support/native-error.ts';

let netns: Netns;
beforeEach(() => void (netns = makeNetns()));
afterEach(() => netns.remove());

const route = (family: 4 | 6) => ({ family, mark: 0x53a, mask: 0xfff, table: 100, priority: 32_764 });
const rules = (family: 4 | 6): string => netns.run('ip', `-${family}`, 'rule', 'show');
/** `ip` fails for a table that was never used. */
const table = (family: 4 | 6): string =>
  netns.run('sh', '-c', `ip -${family} route show table 100 2>/dev/null || true`);

describe.each([4, 6] as const)('marked packets of IPv%i', (family) => {
  it('are this host’s, whatever their address', async () => {
    await native.addMarkRoute(netns.path, route(family));
    expect(rules(family)).toContain('fwmark 0x53a/0xfff lookup 100');
    expect(table(family)).toMatch(/^local default dev lo/);
    const [marked, other] = family === 4 ? ['192.0.2.1', '127.0.0.1'] : ['2001:db8::1', '::1'];
    expect(netns.run('ip', 'route', 'get', marked, 'mark', '0x53a')).toContain('dev lo');
    expect(netns.run('ip', 'route', 'get', other)).not.toContain('table 100');
  });

  it('are so once, however often it is asked for', async () => {
    for (let i = 0; i < 3; i++) await native.addMarkRoute(netns.path, route(family));
    expect(rules(family).split('fwmark').length - 1).toBe(1);
    expect(table(family).trim().split('\n')).toHaveLength(1);
  });

  it('are what they were before when it is taken back, also when nothing was there', async () => {
    const before = rules(family);
    await native.addMarkRoute(netns.path, route(family));
    for (let i = 0; i < 2; i++) await native.removeMarkRoute(netns.path, route(family));
    expect(rules(family)).toBe(before);
    expect(table(family)).toBe('');
  });

  it('are taken back also if ip(8) set them up, as earlier versions did, several times', async () => {
    for (let i = 0; i < 2; i++) {
      netns.run('ip', `-${family}`, 'rule', 'add', 'fwmark', '0x53a/0xfff', 'lookup', '100');
    }
    netns.run('ip', `-${family}`, 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', '100');
    await native.addMarkRoute(netns.path, route(family));
    await native.removeMarkRoute(netns.path, route(family));
    expect(rules(family)).not.toContain('fwmark');
    expect(table(family)).toBe('');
  });
});

describe('a file of /proc/sys/net', () => {
  const file = '/proc/sys/net/ipv4/tcp_fwmark_accept';

  it('is written in the namespace asked for, and nowhere else', async () => {
    const [inside, outside] = [netns.run('cat', file), native.openFdCount()];
    expect(inside.trim()).toBe('0');
    await native.writeInNetns(netns.path, [file], '1');
    expect(netns.run('cat', file).trim()).toBe('1');
    const other = makeNetns();
    expect(other.run('cat', file).trim()).toBe('0');
    other.remove();
    expect(native.openFdCount()).toBe(outside);
  });

  it('that is not there is named', async () => {
    const missing = '/proc/sys/net/ipv4/no_such_thing';
    const error = await expectNativeError(() => native.writeInNetns(netns.path, [missing], '1'), 'ENOENT');
    expect(error.hint).toBe(missing);
  });
});
