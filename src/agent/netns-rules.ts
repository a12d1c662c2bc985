/**
 * The three settings in a pod's network namespace that let ztunnel show an application its client's address without
 * rewriting packets: ztunnel's sockets carry a mark, the application's replies inherit it, and marked packets are
 * delivered locally instead of to the client's real address. Removed again when the pod leaves the mesh.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { asMeshError, MeshError } from '../base/errors.ts';
import type { NativeBinding } from '../native/binding.ts';
import { sourceMark } from '../net/tunnel/dialer.ts';

const mask = 0xfff;
const routingTable = 100;
/** Before the main table's (32766). */
const priority = 32_764;
/** How `ip rule` shows our rule. */
export const marker = `fwmark 0x${sourceMark.toString(16)}/0x${mask.toString(16)}`;

/**
 * ip-sysctl.rst: accepted sockets inherit the SYN's mark (`tcp_fwmark_accept`), and so do answers without a socket,
 * such as the RST of a closed port (`fwmark_reflect`). The other two let strict reverse-path filters, where a
 * distribution sets them, judge marked packets on `lo` by the marked route.
 */
const sysctls = [
  'ipv4/tcp_fwmark_accept',
  'ipv4/fwmark_reflect',
  'ipv4/conf/lo/src_valid_mark',
  'ipv4/conf/lo/accept_local',
];
const ipv6Sysctls = ['ipv6/fwmark_reflect'];

/** A container's own /proc/sys is read-only unless it is privileged; the manifests mount the node's here. */
const hostProc = '/host/proc';

export interface NetnsRules {
  add(netns: string, families: readonly (4 | 6)[]): Promise<void>;
  remove(netns: string): Promise<void>;
}

type Native = Pick<NativeBinding, 'addMarkRoute' | 'removeMarkRoute' | 'writeInNetns'>;

/** Both are idempotent and throw MeshError NETNS naming what the kernel refused. */
export const netnsRules = (native: Native): NetnsRules => ({
  async add(netns, families) {
    const proc = existsSync(hostProc) ? hostProc : '/proc';
    const names = [...sysctls, ...(families.includes(6) ? ipv6Sysctls : [])];
    const files = names.map((name) => join(proc, 'sys/net', name));
    await refusalsNamed(netns, native.writeInNetns(netns, files, '1'));
    for (const family of families) await refusalsNamed(netns, native.addMarkRoute(netns, routeOf(family)));
  },
  /** Leaves the sysctls: they change nothing without the mark. */
  async remove(netns) {
    for (const family of [4, 6] as const) {
      await refusalsNamed(netns, native.removeMarkRoute(netns, routeOf(family)));
    }
  },
});

const routeOf = (family: 4 | 6) => ({ family, mark: sourceMark, mask, table: routingTable, priority });

const refusalsNamed = (netns: string, work: Promise<void>): Promise<void> =>
  work.catch((cause: unknown) => {
    const reason = asMeshError(cause).message;
    throw new MeshError('NETNS', `the kernel refused rules in ${netns}: ${reason}`, {
      hint: 'the node program needs CAP_NET_ADMIN and CAP_SYS_ADMIN, and sysctls that can be written',
      cause,
    });
  });
