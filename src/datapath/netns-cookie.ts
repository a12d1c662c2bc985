/**
 * The cookie of a network namespace: its name in the `pods` map. The kernel tells since 5.14 (SO_NETNS_COOKIE).
 * Before that our own connect program does: a UDP connect() from the namespace to an address nobody has makes it
 * leave the answer in `cookies`.
 */
import { MeshError } from '../base/errors.ts';
import { probeIpv4 } from '../base/probe-address.ts';
import type { NativeBinding } from '../native/binding.ts';
import type { MapTable } from './map-table.ts';

/** In `bpf/connect.bpf.c` too. */
const probePort = 65535;

/** @throws MeshError NETNS if the namespace gives no answer */
export async function findNetnsCookie(
  deps: {
    readonly native: Pick<NativeBinding, 'netnsCookie' | 'probeConnect'>;
    readonly cookies: Pick<MapTable<bigint, bigint>, 'take'>;
  },
  netns: string,
): Promise<bigint> {
  const known = await deps.native.netnsCookie(netns);
  if (known !== null) return known;
  const socket = await deps.native.probeConnect(netns, probeIpv4, probePort);
  const answer = deps.cookies.take(socket);
  if (answer !== undefined) return answer;
  throw new MeshError('NETNS', `the cookie of ${netns} could not be learnt`, {
    hint: 'the node program must run in its own cgroup, below the cgroup the programs are attached to',
  });
}
