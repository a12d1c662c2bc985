/** The command lines of the mesh's own processes in the lab. Pure; the flags are those of `mesh-ebpf node|controller`. */
import { caPort } from '../../base/ports.ts';
import { join } from 'node:path';
import { nodeCgroups, pinRoot } from '../layout.ts';
import type { LabLayout } from '../layout.ts';
import { labNode } from '../topology.ts';

/** The controller runs on the first node; everybody reaches its certificate authority there. */
export const controllerNode = labNode(1);
export const caAddress = `${controllerNode.ipv4}:${caPort}`;

type Program = readonly [string, ...string[]];

export function nodeCommand(program: Program, layout: LabLayout, node: string, cgroup2: string): Program {
  const paths = layout.node(node);
  return [
    ...program,
    'node',
    '--node-name',
    node,
    '--objects',
    layout.objects,
    '--cgroup-root',
    nodeCgroups(cgroup2, node).root,
    '--pin-root',
    join(pinRoot, node),
    '--run-dir',
    paths.dir,
    '--ca-address',
    caAddress,
    '--ca-root',
    layout.caRoot,
    '--token-file',
    paths.tokenFile,
    '--log-level',
    'info',
  ];
}

export function controllerCommand(program: Program, layout: LabLayout): Program {
  return [
    ...program,
    'controller',
    '--objects',
    layout.objects,
    '--ca-dir',
    layout.caDir,
    '--listen',
    caAddress,
    '--tokens',
    layout.tokens,
  ];
}
