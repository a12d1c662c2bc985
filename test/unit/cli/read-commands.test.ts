import { describe, expect, it } from '@jest/globals';
import { fullNode, twoNodes } from './fake-nodes.ts';
import { document, labNode, labSocket, run } from './harness.ts';

const nouns = ['status', 'workloads', 'services', 'certs', 'policies', 'connections'] as const;

describe.each(nouns)('mesh-ebpf %s', (noun) => {
  it.each(['table', 'wide', 'json', 'yaml'])('exits 0 when all is well, as %s', async (format) => {
    const { code, out, err } = await run(`${noun} -o ${format}`, { nodes: twoNodes });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).not.toBe('');
  });

  it.each(['table', 'json', 'yaml'])(
    'exits 3 and names the node that did not answer, as %s',
    async (format) => {
      const silent = labNode('node-b', {});
      const { code, out, err } = await run(`${noun} -o ${format}`, { nodes: [fullNode('node-a'), silent] });
      expect(code).toBe(3);
      expect(err).toMatch(/not reached: node node-b: nobody listens/);
      if (format !== 'table') expect(out).toMatch(/node-b/);
    },
  );

  it('exits 3 and says what to start when there is no node', async () => {
    const { code, out, err } = await run(noun);
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(err).toMatch(/no node of the mesh runs on this machine/);
    expect(err).toMatch(/next: .*lab up/);
  });

  it.each([
    ['-o xml', /json/],
    ['--timeout soon', /30s/],
    ['--node UPPER', /lower-case/],
    ['--nonsense', /unknown option/],
    ['unexpected', /too many arguments/],
  ])('refuses "%s" before asking anybody', async (bad, says) => {
    const { code, out, err, requests } = await run(`${noun} ${bad}`, { nodes: twoNodes });
    expect({ code, out, requests }).toEqual({ code: 2, out: '', requests: [] });
    expect(err).toMatch(says);
  });

  it('prints json that carries apiVersion and kind', async () => {
    const { out } = await run(`${noun} -o json`, { nodes: twoNodes });
    expect(JSON.parse(out)).toMatchObject({
      apiVersion: 'mesh-ebpf.io/v1alpha1',
      kind: expect.stringMatching(/List$/),
      items: expect.any(Array),
      unreachable: [],
    });
  });

  it('asks one node only with --node, and names the nodes when there is none of that name', async () => {
    const one = await run(`${noun} --node node-b`, { nodes: twoNodes });
    expect(one.code).toBe(0);
    const none = await run(`${noun} --node node-c`, { nodes: twoNodes });
    expect(none.code).toBe(1);
    expect(none.err).toMatch(/no node "node-c".*\n.*node-a, node-b/);
  });

  it('is not troubled by a silent node when another was asked for', async () => {
    const { code, err } = await run(`${noun} --node node-a`, {
      nodes: [fullNode('node-a'), labNode('node-b', {})],
    });
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  it('asks the socket given with --socket', async () => {
    const { code, requests } = await run(`${noun} --socket ${labSocket('node-a')}`, { nodes: twoNodes });
    expect(code).toBe(0);
    expect(requests.map(({ socket }) => socket)).toEqual([labSocket('node-a')]);
  });

  it('passes on what a node says is wrong', async () => {
    const { code, err } = await run(noun, {
      nodes: [
        fullNode('node-a', {
          [`/v1/${noun}`]: document('Error', {
            code: 'PERMISSION',
            message: 'only root',
            hint: 'run it with sudo',
          }),
        }),
      ],
    });
    expect(code).toBe(3);
    expect(err).toMatch(/node-a: only root \(run it with sudo\)/);
  });

  it('says that a node speaks another version instead of printing nonsense', async () => {
    const { code, err } = await run(noun, {
      nodes: [fullNode('node-a', { [`/v1/${noun}`]: { apiVersion: 'v9', kind: 'X' } })],
    });
    expect(code).toBe(3);
    expect(err).toMatch(/another version/);
  });

  it('shows examples and exit codes in its help', async () => {
    const { code, out } = await run(`${noun} --help`);
    expect(code).toBe(0);
    expect(out).toMatch(/Examples:\n +\$ mesh-ebpf/);
    expect(out).toMatch(/Exit status:/);
  });
});
