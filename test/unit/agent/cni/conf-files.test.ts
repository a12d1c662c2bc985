import { describe, expect, it } from '@jest/globals';
import {
  type ConfFile,
  filesWithPlugin,
  planInsertion,
  planRemoval,
  type PluginConf,
} from '../../../../src/agent/cni/conf-files.ts';

const plugin: PluginConf = {
  type: 'mesh-ebpf-cni',
  socket: '/run/mesh-ebpf/node/cni.sock',
  waitSeconds: 20,
  excludeNamespaces: ['kube-system'],
};
const bridge = { type: 'bridge', bridge: 'cni0', ipam: { type: 'host-local' } };
const portmap = { type: 'portmap', capabilities: { portMappings: true } };

const file = (name: string, content: unknown): ConfFile => ({
  name,
  text: typeof content === 'string' ? content : JSON.stringify(content),
});
const list = (name: string, ...plugins: readonly unknown[]): ConfFile =>
  file(name, { cniVersion: '1.0.0', name: 'k8s', plugins });
const parsed = (files: readonly ConfFile[]): unknown =>
  Object.fromEntries(files.map(({ name, text }) => [name, JSON.parse(text) as unknown]));

const squeeze = (json: string): string => json.replaceAll(/\s/g, '');

describe('putting the plugin into the node’s CNI configuration', () => {
  it('appends it to the list that runtimes use: the first by name', () => {
    const { write, remove, problem } = planInsertion(
      [list('20-other.conflist', bridge), list('10-k8s.conflist', bridge, portmap)],
      plugin,
    );
    expect({ remove, problem }).toEqual({ remove: [], problem: undefined });
    expect(parsed(write)).toEqual({
      '10-k8s.conflist': { cniVersion: '1.0.0', name: 'k8s', plugins: [bridge, portmap, plugin] },
    });
  });

  it('changes nothing where it is in place already, however the file is laid out', () => {
    const laidOut = JSON.stringify(
      { cniVersion: '1.0.0', name: 'k8s', plugins: [bridge, plugin] },
      undefined,
      7,
    );
    expect(planInsertion([file('10-k8s.conflist', laidOut)], plugin)).toEqual({
      write: [],
      remove: [],
      problem: undefined,
    });
  });

  it('brings settings of its own up to date, and its place to the end', () => {
    const older = { ...plugin, waitSeconds: 5 };
    const { write } = planInsertion([list('10-k8s.conflist', bridge, older, portmap)], plugin);
    expect(parsed(write)).toMatchObject({ '10-k8s.conflist': { plugins: [bridge, portmap, plugin] } });
  });

  it('keeps everything else as it was written: order, unknown fields, numbers of any size', () => {
    const text = `{"zeta": 1.50, "name":"k8s", "big": 12345678901234567890123, "cniVersion":"0.3.1",
      "plugins":[{"type":"x","mtu":1e3,"__proto__":{"a":1}}], "ünïcode":"\\u0000\\ud83d\\ude00"}`;
    const [written] = planInsertion([file('10-k8s.conflist', text)], plugin).write;
    const [back] = planRemoval([written ?? file('', '')]).write;
    expect(squeeze(back?.text ?? '')).toBe(squeeze(text).replace(String.raw`\ud83d\ude00`, '😀'));
  });

  it('puts a list of its own before a file that holds one plugin, and follows that file', () => {
    const single = { cniVersion: '0.4.0', name: 'k8s', ...bridge };
    const first = planInsertion([file('10-k8s.conf', single)], plugin);
    expect(parsed(first.write)).toEqual({
      '00-mesh-ebpf.conflist': { cniVersion: '0.4.0', name: 'k8s', plugins: [single, plugin] },
    });
    const changed = { ...single, mtu: 9000 };
    const second = planInsertion([...first.write, file('10-k8s.conf', changed)], plugin);
    expect(parsed(second.write)).toMatchObject({ '00-mesh-ebpf.conflist': { plugins: [changed, plugin] } });
    const replaced = planInsertion([...first.write, list('05-k8s.conflist', bridge)], plugin);
    expect(replaced.remove).toEqual(['00-mesh-ebpf.conflist']);
  });

  it('takes its own list away when the network behind it is gone', () => {
    const own = list('00-mesh-ebpf.conflist', bridge, plugin);
    expect(planInsertion([own], plugin)).toMatchObject({
      write: [],
      remove: ['00-mesh-ebpf.conflist'],
      problem: { code: 'NOT_FOUND' },
    });
  });

  it.each([
    ['is not JSON', '10-a.conflist', '{"plugins": [', 'not JSON'],
    ['is empty', '10-a.conflist', '', 'not JSON'],
    ['is no object', '10-a.conflist', '[]', 'not a JSON object'],
    ['has no list of plugins', '10-a.conflist', { cniVersion: '1.0.0', name: 'x' }, 'not a list of plugins'],
    [
      'has an empty list',
      '10-a.conflist',
      { cniVersion: '1.0.0', name: 'x', plugins: [] },
      'not a list of plugins',
    ],
    [
      'lists what is no plugin',
      '10-a.conflist',
      { cniVersion: '1.0.0', name: 'x', plugins: [1] },
      'not a list',
    ],
    ['has no name', '10-a.conflist', { cniVersion: '1.0.0', plugins: [bridge] }, 'no name'],
    [
      'is too old',
      '10-a.conflist',
      { cniVersion: '0.2.0', name: 'x', plugins: [bridge] },
      'cniVersion "0.2.0"',
    ],
    [
      'is from the future',
      '10-a.conflist',
      { cniVersion: '2.0.0', name: 'x', plugins: [bridge] },
      'cniVersion',
    ],
    ['names no plugin', '10-a.conf', { cniVersion: '1.0.0', name: 'x' }, 'names no plugin'],
    [
      'comes before any name of ours',
      '00-a.conf',
      { cniVersion: '1.0.0', name: 'x', ...bridge },
      'comes before',
    ],
  ])('leaves a file alone that %s, and says so', (_why, name, content, message) => {
    const { write, remove, problem } = planInsertion(
      [file(name, content), list('99-z.conflist', bridge)],
      plugin,
    );
    expect({ write, remove }).toEqual({ write: [], remove: [] });
    expect(problem).toMatchObject({ code: 'INVALID_MANIFEST', message: expect.stringContaining(message) });
  });
});

describe('taking the plugin out again', () => {
  it('restores the meaning of every file that had it, and removes the list of its own', () => {
    const before = [list('10-k8s.conflist', bridge, portmap), list('20-other.conflist', bridge)];
    const { write } = planInsertion(before, plugin);
    const after = planRemoval(
      [...write, before[1] ?? write[0], list('00-mesh-ebpf.conflist', bridge, plugin)].filter(
        (one) => one !== undefined,
      ),
    );
    expect(parsed(after.write)).toEqual(parsed(before.slice(0, 1)));
    expect(after.remove).toEqual(['00-mesh-ebpf.conflist']);
  });

  it('finds nothing to do where it never was', () => {
    const files = [
      list('10-k8s.conflist', bridge),
      file('20-broken.conflist', '{'),
      file('30-single.conf', bridge),
    ];
    expect(filesWithPlugin(files)).toEqual([]);
    expect(planRemoval(files)).toEqual({ write: [], remove: [] });
  });
});
