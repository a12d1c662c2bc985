/** The two sides of the ABI agree: structs by the object's BTF, constants by the header's text. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import * as ports from '../../src/base/ports.ts';
import { layoutDifferences } from '../../src/datapath/abi/check.ts';
import * as layout from '../../src/datapath/abi/layout.ts';
import { counterNames } from '../../src/datapath/abi/counters.ts';
import { serviceFlags } from '../../src/datapath/abi/service-layout.ts';
import { allHooks } from '../../src/datapath/hooks.ts';
import { allMapSpecs } from '../../src/datapath/maps.ts';
import { native, objectPath } from './support/lab.ts';

const header = readFileSync(new URL('../../bpf/include/abi.h', import.meta.url), 'utf8');

/** `enum name { PREFIX_ONE = 1, PREFIX_TWO }` as `{ one: 1, two: 2 }`. */
function cEnum(name: string, prefix: string): Record<string, number> {
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(header)?.[1] ?? '';
  let next = 0;
  return Object.fromEntries(
    body
      .replaceAll(/\/\*[^]*?\*\//g, '')
      .split(',')
      .flatMap((line) => {
        const match = /(\w+)(?:\s*=\s*(\d+))?/.exec(line);
        if (match?.[1] === undefined) return [];
        const value = match[2] === undefined ? next : Number(match[2]);
        next = value + 1;
        return [[camelCase(match[1].slice(prefix.length)), value]];
      }),
  );
}

const camelCase = (name: string): string =>
  name.toLowerCase().replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());

describe('the codecs and the compiled object', () => {
  it('agree about every struct', () => {
    expect(layoutDifferences(native.btfStructs(objectPath))).toEqual([]);
  });

  it('are told apart when a member moves', () => {
    const structs = native.btfStructs(objectPath).map((type) =>
      type.name === 'mesh_origin'
        ? { ...type, members: type.members.map((m) => ({ ...m, offsetBits: m.offsetBits + 32 })) }
        : type,
    );
    expect(layoutDifferences(structs).join()).toContain('mesh_origin.pod_id at byte 20');
  });

  it('have the same programs and maps', () => {
    const object = native.openObject(objectPath);
    expect(object.programNames().toSorted()).toEqual(allHooks.map((hook) => hook.program).toSorted());
    expect(object.mapNames().toSorted()).toEqual(allMapSpecs.map((spec) => spec.name).toSorted());
    object.close();
  });
});

describe('the constants of the header', () => {
  it('are those of the codecs', () => {
    expect(cEnum('mesh_origin_kind', 'MESH_ORIGIN_')).toEqual(layout.originKinds);
    expect(cEnum('mesh_drawn', 'MESH_DRAWN_')).toEqual(layout.drawnKinds);
    expect(cEnum('mesh_service_flag', 'MESH_SERVICE_')).toEqual(serviceFlags);
    expect(cEnum('mesh_destination_flag', 'MESH_DESTINATION_')).toEqual(layout.destinationFlags);
    expect(cEnum('mesh_config_flag', 'MESH_CONFIG_')).toEqual(layout.configFlags);
    expect(header).toContain(`#define MESH_ABI ${layout.abiVersion}\n`);
    expect(header).toContain(`#define MESH_SHARE_NODE ${layout.nodeShare}\n`);
  });

  it('name the counters in the order of user space', () => {
    const { count, ...counters } = cEnum('mesh_counter', 'MESH_COUNTER_');
    expect(Object.keys(counters)).toEqual(counterNames);
    expect(count).toBe(counterNames.length);
  });

  it('have the mesh’s ports', () => {
    expect(cEnum('mesh_port', 'MESH_PORT_')).toEqual({
      outbound: ports.outboundPort,
      plaintext: ports.plaintextPort,
      hbone: ports.hbonePort,
    });
  });
});
