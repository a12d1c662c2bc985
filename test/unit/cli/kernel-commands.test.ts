import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import type { DatapathAccess } from '../../../src/cli/env.ts';
import { map, pods, program, rootOf, kernelWorld } from './fake-kernel.ts';
import { run } from './harness.ts';

const broken = (root: string): never[] => {
  if (root === rootOf('node-b')) throw new MeshError('BPF_LOAD', 'it is broken');
  return [];
};

describe.each([['maps list'], ['maps dump pods'], ['maps get pods shop/web-1'], ['programs']])(
  'mesh-ebpf %s',
  (line) => {
    it.each(['table', 'wide', 'json', 'yaml'])('works without any node running, as %s', async (format) => {
      const { code, out, requests } = await run(`${line} -o ${format}`, kernelWorld({}));
      expect({ code, requests }).toEqual({ code: 0, requests: [] });
      expect(out).not.toBe('');
    });

    it('reads every node of the machine, and lists the one it cannot read', async () => {
      const all: Partial<DatapathAccess> = {
        maps: (root) => [...broken(root), map('pods')],
        dump: (root) => [...broken(root), ...pods],
        programs: (root) => [...broken(root), program('mesh_connect4')],
      };
      const { code, out, err } = await run(line, kernelWorld(all, ['node-a', 'node-b']));
      expect(code).toBe(3);
      expect(out).not.toBe('');
      expect(err).toMatch(/not reached: node node-b: it is broken/);
    });

    it('says that nothing is captured when nothing is pinned', async () => {
      const { code, err } = await run(line, kernelWorld({}, []));
      expect(code).toBe(3);
      expect(err).toMatch(/no BPF object of the mesh is pinned/);
    });

    it('takes one node with --node or --pin-root', async () => {
      const asked: string[] = [];
      const note = (root: string): void => void asked.push(root);
      const all: Partial<DatapathAccess> = {
        maps: (root) => (note(root), [map('pods')]),
        dump: (root) => (note(root), pods),
        programs: (root) => (note(root), [program('mesh_connect4')]),
      };
      await run(`${line} --node node-b`, kernelWorld(all, ['node-a', 'node-b']));
      await run(`${line} --pin-root /x/y`, kernelWorld(all, ['node-a', 'node-b']));
      expect(asked).toEqual([rootOf('node-b'), '/x/y']);
      expect((await run(`${line} --node node-z`, kernelWorld(all, ['node-a']))).err).toMatch(/nodes: node-a/);
    });
  },
);
