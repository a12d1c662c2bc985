/**
 * A pod's network namespace, held open and proved to be the pod's: a namespace that does not have the pod's
 * addresses belongs to somebody else, and capturing it would give that somebody the pod's identity.
 */
import { asMeshError, MeshError } from '../base/errors.ts';
import { type IpAddress, tryParseIp } from '../base/ip.ts';
import type { Workload } from '../model/mesh.ts';
import type { Fd, NativeBinding } from '../native/binding.ts';
import { processesOf } from './pod-finder.ts';

export interface PodNetns {
  /** Usable by this process and, through /proc, by its children, for as long as `close` was not called. */
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
  readonly close: () => void;
}

type Native = Pick<NativeBinding, 'openPath' | 'closeFd' | 'netnsId' | 'netnsAddresses'>;

/**
 * Opens the namespace of the processes in `cgroup`.
 * @throws MeshError NETNS when no process is there, or the namespace lacks one of the pod's addresses.
 */
export async function openPodNetns(native: Native, workload: Workload, cgroup: string): Promise<PodNetns> {
  const name = `${workload.namespace}/${workload.name}`;
  for (const pid of await processesOf(cgroup)) {
    const netns = tryOpen(native, pid);
    if (netns === undefined) continue;
    const missing = await missingAddresses(native, netns, workload);
    if (missing.length === 0) return netns;
    netns.close();
    throw new MeshError(
      'NETNS',
      `${name}: the network namespace of process ${pid} lacks the pod's address ${missing.join(', ')}`,
      {
        hint: 'not enrolled, so that no other pod gets its identity; it is tried again when the addresses are there',
      },
    );
  }
  throw new MeshError('NETNS', `${name}: no process holds its network namespace`, {
    hint: `is the pod running? its cgroup is ${cgroup}`,
  });
}

/** Undefined when the process ended meanwhile. */
function tryOpen(native: Native, pid: number): PodNetns | undefined {
  let fd: Fd;
  try {
    fd = native.openPath(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
  const path = `/proc/${process.pid}/fd/${fd}`;
  return { path, ...native.netnsId(path), close: () => native.closeFd(fd) };
}

async function missingAddresses(
  native: Native,
  netns: PodNetns,
  workload: Workload,
): Promise<readonly IpAddress[]> {
  try {
    const present = new Set((await native.netnsAddresses(netns.path)).map(tryParseIp));
    return workload.addresses.filter((address) => !present.has(address));
  } catch (error) {
    netns.close();
    throw asMeshError(error, 'NETNS', `${workload.namespace}/${workload.name}`);
  }
}
