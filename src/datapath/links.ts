/**
 * Keeps pinned links as they should be: this program, at this target. A link that only has another program is
 * updated in place, which the kernel does atomically; one that is missing, detached or elsewhere is made anew.
 */
import { statSync } from 'node:fs';
import type { Fd, NativeBinding } from '../native/binding.ts';
import { bpfCall } from './bpf-error.ts';
import type { Hook } from './hooks.ts';
import type { Pins } from './pins.ts';

export interface LoadedProgram {
  readonly id: number;
  readonly fd: Fd;
}

export interface LinkTarget {
  readonly type: 'cgroup' | 'netns';
  readonly path: string;
  /** cgroup id, or inode of the network namespace: what the kernel calls the target. */
  readonly id: bigint;
}

export type LinkOutcome = 'kept' | 'updated' | 'attached';

type LinkCalls = Pick<
  NativeBinding,
  'linkCgroup' | 'linkNetns' | 'linkUpdate' | 'linkInfo' | 'openPath' | 'closeFd'
>;

/** A cgroup's id is its directory's inode (kernfs, 64-bit kernels). */
export const cgroupTarget = (path: string): LinkTarget => ({
  type: 'cgroup',
  path,
  id: statSync(path, { bigint: true }).ino,
});

export function ensureLink(
  deps: { readonly native: LinkCalls; readonly pins: Pins },
  name: string,
  hook: Hook,
  target: LinkTarget,
  program: LoadedProgram,
): LinkOutcome {
  const { native, pins } = deps;
  const existing = pins.with('links', name, (fd): LinkOutcome | undefined => {
    const info = native.linkInfo(fd);
    if (info.targetId !== target.id || info.attachType !== hook.attachType) return undefined;
    if (info.programId === program.id) return 'kept';
    bpfCall('BPF_ATTACH', `updating ${hook.program}`, () => native.linkUpdate(fd, program.fd));
    return 'updated';
  });
  if (existing !== undefined) return existing;

  const fd = attachLink(native, hook, target, program.fd);
  try {
    pins.put('links', name, fd);
  } finally {
    native.closeFd(fd);
  }
  return 'attached';
}

/** A link that is not pinned ends when its descriptor is closed. @throws MeshError BPF_ATTACH */
export const attachLink = (native: LinkCalls, hook: Hook, target: LinkTarget, program: Fd): Fd =>
  bpfCall('BPF_ATTACH', `attaching ${hook.program} to ${target.path}`, () =>
    attach(native, hook, target, program),
  );

function attach(native: LinkCalls, hook: Hook, target: LinkTarget, program: Fd): Fd {
  if (target.type === 'netns') return native.linkNetns(program, target.path, hook.attachType);
  const cgroup = native.openPath(target.path);
  try {
    return native.linkCgroup(program, cgroup, hook.attachType);
  } finally {
    native.closeFd(cgroup);
  }
}
