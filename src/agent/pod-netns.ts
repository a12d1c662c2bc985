/**
 * A pod's network namespace, held open and proved to be the pod's: a namespace that does not have the pod's
 * addresses belongs to somebody else, and capturing it would give that somebody the pod's identity.
 */
import { tryParseIp, type IpAddress } from '../base/ip.ts';
import type { Fd, NativeBinding } from '../native/binding.ts';

export interface PodNetns {
  /** Usable by this process and, through /proc, by its children, for as long as `close` was not called. */
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
  readonly close: () => void;
}

export type NetnsCalls = Pick<NativeBinding, 'openPath' | 'closeFd' | 'netnsId' | 'netnsAddresses'>;

export const sameNetns = (a: PodNetns, b: PodNetns): boolean => a.device === b.device && a.inode === b.inode;

/** @throws NativeError when there is no such file, or it is no network namespace */
export function openNetns(native: NetnsCalls, path: string): PodNetns {
  const fd: Fd = native.openPath(path);
  const own = `/proc/${process.pid}/fd/${fd}`;
  try {
    return { ...native.netnsId(own), path: own, close: () => native.closeFd(fd) };
  } catch (error) {
    native.closeFd(fd);
    throw error;
  }
}

/** Those of `addresses` that no interface of the namespace has. @throws NativeError when it cannot be entered */
export async function missingAddresses(
  native: NetnsCalls,
  netns: PodNetns,
  addresses: readonly IpAddress[],
): Promise<readonly IpAddress[]> {
  const present = new Set((await native.netnsAddresses(netns.path)).map(tryParseIp));
  return addresses.filter((address) => !present.has(address));
}
