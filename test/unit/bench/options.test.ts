import { describe, expect, it } from '@jest/globals';
import { benchManifest, podPair } from '../../bench/manifest.ts';
import { largeFiles, largeMesh } from '../../bench/large-mesh.ts';
import { type Options, parseOptions, usage } from '../../bench/options.ts';
import { allRows } from '../../bench/rows/all.ts';
import { variantIds } from '../../bench/variants/variant.ts';
import { parseManifests } from '../../../src/kube/parse-manifests.ts';

const parse = (args: readonly string[], ztunnel?: string): Options => parseOptions(args, allRows, ztunnel);

describe('the options of the bench', () => {
  it('measure everything of everybody by default, but a ztunnel only where its path is given', () => {
    expect(parse([])).toMatchObject({ rows: allRows, variants: variantIds.filter((id) => id !== 'ztunnel') });
    expect(parse([], '/opt/ztunnel').variants).toContain('ztunnel');
  });

  it('make a quick run of one round', () => {
    expect(parse(['--quick'])).toMatchObject({ rounds: 1 });
    expect(parse(['--quick', '--rounds', '2'])).toMatchObject({ rounds: 2 });
  });

  it('keep to the rows asked for', () => {
    expect(parse(['--only', 'up-8', '--only', 'idle']).rows.map(({ id }) => id)).toEqual(['idle', 'up-8']);
  });

  it('name what there is when asked for what there is not', () => {
    expect(() => parse(['--only', 'up-9'])).toThrow('there is no row "up-9"; there are idle, up-1');
    expect(() => parse(['--rounds', '0'])).toThrow('--rounds: "0" is not a number from 1 to');
    expect(() => parse(['--variant', 'ztunnel'])).toThrow('needs ZTUNNEL=path');
  });

  it('are all in the help text', () => {
    for (const row of allRows) expect(usage(allRows)).toContain(row.id);
  });
});

describe('the large mesh', () => {
  it('is of the size that is said, in files that are valid and not too long', () => {
    const files = largeFiles().map((text, i) => ({ path: `large-${i}.yaml`, text }));
    const all = files.map(({ text }) => text).join('');
    expect(all.match(/"kind":"AuthorizationPolicy"/g)).toHaveLength(largeMesh.policies);
    expect(new Set(all.match(/"podIP":"[^"]+"/g)).size).toBe(largeMesh.workloads);
    const { errors } = parseManifests(
      [files[0], files.at(-1)].filter((file) => file !== undefined),
      { strict: true },
    );
    expect(errors).toEqual([]);
  });
});

describe('the manifest of the bench', () => {
  it('is valid for the lab and places each client and server on two nodes', () => {
    const text = benchManifest(
      (['none', 'mesh', 'node-hbone', 'node-accelerated'] as const).map(podPair),
      '/tmp/load',
    );
    const { objects, errors } = parseManifests([{ path: 'bench.yaml', text }], { strict: true });
    expect(errors).toEqual([]);
    const pods = objects.flatMap(({ object }) => (object.kind === 'Pod' ? [object] : []));
    expect(pods.map(({ metadata, spec }) => [metadata.namespace, metadata.name, spec.nodeName])).toEqual([
      ['bench-plain', 'none-client', 'node-a'],
      ['bench-plain', 'none-server', 'node-b'],
      ['bench-mesh', 'mesh-client', 'node-a'],
      ['bench-mesh', 'mesh-server', 'node-b'],
      ['bench-mesh', 'node-hbone-client', 'node-a'],
      ['bench-mesh', 'node-hbone-server', 'node-a'],
      ['bench-mesh', 'node-accelerated-client', 'node-a'],
      ['bench-mesh', 'node-accelerated-server', 'node-a'],
    ]);
    expect(text.match(/"mesh-ebpf.io\/same-node": "hbone"/g)).toHaveLength(2);
    expect(text.match(/"mesh-ebpf.io\/accelerate": "true"/g)).toHaveLength(2);
  });
});
