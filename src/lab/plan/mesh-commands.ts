/** The command lines of the mesh's own processes in the lab. Pure; the flags are those of `mesh-ebpf node|controller`. */
import { caPort } from '../../base/ports.ts';
import { join } from 'node:path';
import type { LabState } from '../lab-file.ts';
import { nodeCgroups, pinRoot } from '../layout.ts';
import type { LabLayout } from '../layout.ts';
import { dnsAddresses, labNode } from '../topology.ts';

/** The controller runs on the first node; everybody reaches its certificate authority there. */
export const controllerNode = labNode(1);
export const caAddress = `${controllerNode.ipv4}:${caPort}`;

type Program = readonly [string, ...string[]];

/** @param keeper path of the program that holds the node program's sockets while it is restarted */
export function nodeCommand(state: LabState, layout: LabLayout, node: string, keeper: string): Program {
  const paths = layout.node(node);
  return [
    keeper,
    '--handover',
    paths.keeperSocket,
    '--',
    ...onNode(state, node),
    'node',
    '--node-name',
    node,
    '--objects',
    layout.objects,
    '--cgroup-root',
    nodeCgroups(state.cgroup2, node).root,
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
    '--cluster-dns',
    dnsAddresses.join(),
    '--log-level',
    'info',
    ...(state.sameNode === undefined ? [] : ['--same-node', state.sameNode]),
    ...(state.accelerate === undefined ? [] : ['--accelerate', state.accelerate]),
  ];
}

export function controllerCommand(state: LabState, layout: LabLayout): Program {
  const lifetimeMs = state.certificateLifetimeMs;
  return [
    ...onNode(state, controllerNode.name),
    'controller',
    '--objects',
    layout.objects,
    '--ca-dir',
    layout.caDir,
    '--listen',
    caAddress,
    '--tokens',
    layout.tokens,
    ...(lifetimeMs === undefined ? [] : ['--certificate-lifetime', `${lifetimeMs}ms`]),
  ];
}

/** This program with the node's clock. libfaketime moves all of it, OpenSSL's included, except what measures time. */
function onNode({ program, clockOffsets }: LabState, node: string): Program {
  const offsetMs = clockOffsets[node] ?? 0;
  if (offsetMs === 0) return program;
  const seconds = `${offsetMs < 0 ? '-' : '+'}${Math.abs(offsetMs) / 1000}`;
  const preload = 'LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1';
  return ['env', preload, `FAKETIME=${seconds}`, 'FAKETIME_DONT_FAKE_MONOTONIC=1', ...program];
}
