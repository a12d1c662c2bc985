/** A node's BPF maps, read from outside the node program: what the kernel acts on. */
import type { IpAddress } from '../../../src/base/ip.ts';
import { MapTable } from '../../../src/datapath/map-table.ts';
import { mapSpecs, type MapSpec } from '../../../src/datapath/maps.ts';
import { Pins } from '../../../src/datapath/pins.ts';
import type { NativeBinding } from '../../../src/native/binding.ts';
import type { ProcessRef } from '../../../src/lab/system/process.ts';

export interface KernelMaps extends Disposable {
  /** Whether enrolled pods reach this address through ztunnel only. */
  knows(ip: IpAddress): boolean;
  enrolledPods(): number;
}

/** On the node's own BPF file system. */
export const pinRoot = '/sys/fs/bpf/mesh-ebpf';

/** `init`: the node's process 1, whose root directory is the node's. @throws Error when the node program has not made them */
export function openMaps(native: NativeBinding, init: ProcessRef): KernelMaps {
  const pins = new Pins(native, `/proc/${init.pid}/root${pinRoot}`);
  using opened = new DisposableStack();
  const table = <K, V>(spec: MapSpec<K, V>): MapTable<K, V> => {
    const fd = pins.open('maps', spec.name);
    if (fd === undefined) throw new Error(`the map ${spec.name} is not there`);
    opened.defer(() => native.closeFd(fd));
    return new MapTable(native, fd, spec);
  };
  const [destinations, pods] = [table(mapSpecs.destinations), table(mapSpecs.pods)];
  const kept = opened.move();
  return {
    knows: (ip) => destinations.get(ip) !== undefined,
    enrolledPods: () => pods.count(),
    [Symbol.dispose]: () => kept.dispose(),
  };
}
