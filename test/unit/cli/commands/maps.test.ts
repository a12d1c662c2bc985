import { describe, expect, it } from '@jest/globals';
import { map, kernelWorld } from '../fake-kernel.ts';
import { run } from '../harness.ts';

describe('mesh-ebpf maps', () => {
  it('shows how full each map is, and makes a nearly full one a finding', async () => {
    const full = map('flows', { entries: 61_210, capacity: 65_536, nearlyFull: true });
    const { code, out } = await run('maps list', kernelWorld({ maps: () => [map('pods'), full] }));
    expect(code).toBe(1);
    expect(out).toMatch(/pods +node-a +hash +42\/1024 +4% +what pods is for/);
    expect(out).toMatch(/flows .* 93%!/);
  });

  it('makes a map that should be pinned and is not a finding', async () => {
    const gone = map('flows', { pinned: false, entries: undefined, capacity: undefined });
    const { code, out } = await run('maps list', kernelWorld({ maps: () => [gone] }));
    expect(code).toBe(1);
    expect(out).toMatch(/flows.*NOT PINNED/);
  });

  it('dumps entries under readable headings, and filters by any column', async () => {
    const all = await run('maps dump pods', kernelWorld({}));
    expect(all.out).toMatch(/^NETNS COOKIE +POD ID +POD +IP4/);
    const some = await run('maps dump pods --where POD=shop/cart-1', kernelWorld({}));
    expect(some.out.trim().split('\n')).toHaveLength(2);
    expect(some.out).toMatch(/shop\/cart-1/);
  });

  it('names the columns when asked for one that is not there', async () => {
    const { code, err } = await run('maps dump pods --where colour=red', kernelWorld({}));
    expect(code).toBe(2);
    expect(err).toMatch(/no column "colour"\n.*netnsCookie, podId, pod, ip4/);
  });

  it('finds an entry by address, name or id, and exits 1 when there is none', async () => {
    for (const key of ['10.0.0.6', 'shop/cart-1', '2']) {
      expect((await run(`maps get pods ${key}`, kernelWorld({}))).out).toMatch(/shop\/cart-1/);
    }
    const none = await run('maps get pods 10.9.9.9', kernelWorld({}));
    expect(none).toMatchObject({ code: 1, out: '' });
    expect(none.err).toMatch(/no such entry/);
  });

  it('tells an empty map from an entry that is not there', async () => {
    expect((await run('maps dump pods', kernelWorld({ dump: () => [] }))).err).toMatch(/pods is empty/);
    expect((await run('maps get pods nobody', kernelWorld({}))).err).toMatch(/no such entry in pods, of 2/);
  });

  it.each(['maps dump podz', 'maps dump', 'maps get pods', 'maps dump pods --where x', 'maps'])(
    'refuses "%s" before reading anything',
    async (line) => {
      const { code, out } = await run(
        line,
        kernelWorld({
          dump: () => {
            throw new Error('read');
          },
        }),
      );
      expect({ code, out }).toEqual({ code: 2, out: '' });
    },
  );

  it('guesses what map was meant', async () => {
    expect((await run('maps dump destination', kernelWorld({}))).err).toMatch(/Did you mean destinations/);
  });
});
