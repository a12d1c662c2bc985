/**
 * The three listening sockets of an enrolled pod, made inside its network namespace, or left by the worker before this
 * one. A socket holds its namespace, so as long as it is held its (device, inode) cannot become another namespace's.
 */
import type { Port } from '../base/ip.ts';
import { hbonePort, outboundPort, plaintextPort } from '../base/ports.ts';
import type { WorkloadUid } from '../model/mesh.ts';
import type { Fd, NativeBinding } from '../native/binding.ts';
import type { Keeper } from '../native/keeper.ts';
import type { PodListeners } from '../net/engine.ts';
import type { PodNetns } from './pod-netns.ts';

/** Connections the kernel holds while the proxy is busy or coming back; bounded by net.core.somaxconn. */
const backlog = 4096;

/** Whose sockets they are, and where. */
export interface ListenerPlace {
  readonly uid: WorkloadUid;
  readonly netns: Pick<PodNetns, 'path' | 'device' | 'inode'>;
  readonly ipv6: boolean;
}

const ports = { outbound: outboundPort, plaintext: plaintextPort, hbone: hbonePort } as const;

type Native = Pick<NativeBinding, 'createSocket' | 'closeFd'>;

/** All three or none: what was made before a failure is closed. @throws NativeError */
export async function createListeners(native: Native, { netns, ipv6 }: ListenerPlace): Promise<PodListeners> {
  const made: Fd[] = [];
  const listen = async (port: Port): Promise<Fd> => {
    const fd = await native.createSocket({
      netns: netns.path,
      family: ipv6 ? 6 : 4,
      bindIp: null,
      bindPort: port,
      transparent: false,
      mark: 0,
      backlog,
      dualStack: ipv6,
    });
    made.push(fd);
    return fd;
  };
  try {
    return {
      outbound: await listen(ports.outbound),
      plaintext: await listen(ports.plaintext),
      hbone: await listen(ports.hbone),
    };
  } catch (error) {
    made.forEach((fd) => native.closeFd(fd));
    throw error;
  }
}

/** What an earlier worker made in this very place, all three; whatever else it made for the pod is closed. */
export function adoptListeners(
  native: Pick<NativeBinding, 'closeFd'>,
  keeper: Keeper,
  place: ListenerPlace,
): PodListeners | undefined {
  const taken = (port: Port): Fd | undefined => keeper.take(nameOf(place, port));
  const found = {
    outbound: taken(ports.outbound),
    plaintext: taken(ports.plaintext),
    hbone: taken(ports.hbone),
  };
  if (isComplete(found)) return found;
  for (const fd of Object.values(found)) if (fd !== undefined) native.closeFd(fd);
  dropListeners(keeper, place.uid);
  return undefined;
}

const isComplete = (found: Partial<Record<keyof PodListeners, Fd | undefined>>): found is PodListeners =>
  Object.values(found).every((fd) => fd !== undefined);

/** For the worker after this one. */
export function holdListeners(keeper: Keeper, place: ListenerPlace, listeners: PodListeners): void {
  keeper.hold(nameOf(place, ports.outbound), listeners.outbound);
  keeper.hold(nameOf(place, ports.plaintext), listeners.plaintext);
  keeper.hold(nameOf(place, ports.hbone), listeners.hbone);
}

/** Else the pod's ports would go on taking connections that nobody serves, and its namespace would stay. */
export const dropListeners = (keeper: Keeper, uid: WorkloadUid): void => keeper.drop(prefixOf(uid));

const prefixOf = (uid: WorkloadUid): string => `listener:${encodeURIComponent(uid)}:`;

const nameOf = ({ uid, netns, ipv6 }: ListenerPlace, port: Port): string =>
  `${prefixOf(uid)}${netns.device}:${netns.inode}:${ipv6 ? 'dual' : 'ipv4'}:${port}`;
