/**
 * Tries on this kernel what acceleration does to connections, before any of a pod's is: the program itself, on maps of its
 * own that nobody else sees, and sockets of this process.
 */
import { asMeshError } from '../../base/errors.ts';
import { isNativeError } from '../../native/errors.ts';
import type { BpfObject, Fd, NativeBinding, SockhashTrial } from '../../native/binding.ts';
import { encode, encodeAll } from '../abi/field.ts';
import { type EndKey, endKey, type Stream, stream } from '../abi/acceleration-layout.ts';
import { messageHook } from '../hooks.ts';
import { MapTable } from '../map-table.ts';
import { mapSpecs } from '../maps.ts';
import type { Feature } from '../probe.ts';

export interface AccelerationTrial {
  /** Why nothing may be accelerated here; undefined: every byte arrived, in its order, by the short way. */
  readonly fault: string | undefined;
  /** Pairs of sockets that were tried, and blocking reads among them that failed with EAGAIN for no reason. */
  readonly pairs: number;
  readonly spuriousWakeups: number;
}

const notTried = { pairs: 0, spuriousWakeups: 0 };

/** Seen on 5.10 and 6.1, in some runs only, which no short trial would find; not on 6.12. */
export const tooOld =
  'on Linux 5.10 and 6.1 bytes were seen to be damaged where connections are accelerated: it takes Linux 6.10 or newer';

/** Takes a quarter of a second. Whatever goes wrong is the result's fault, and never thrown. */
export async function tryAcceleration(native: NativeBinding, objectPath: string): Promise<AccelerationTrial> {
  const fds: Fd[] = [];
  try {
    const object = native.openObject(objectPath);
    try {
      return await play(native, loaded(object), (fd) => (fds.push(fd), fd));
    } finally {
      object.close();
    }
  } catch (thrown) {
    return { fault: asMeshError(thrown).message, ...notTried };
  } finally {
    for (const fd of fds) native.closeFd(fd);
  }
}

/** Nothing but the one program. */
function loaded(object: BpfObject): BpfObject {
  for (const name of object.programNames()) object.setAutoload(name, name === messageHook.program);
  for (const { name } of [mapSpecs.ends, mapSpecs.accelerated]) object.setMaxEntries(name, 2);
  object.load();
  return object;
}

const connection = 1n;
const both: readonly EndKey[] = [
  { connection, end: 'dialling' },
  { connection, end: 'accepting' },
];
const streams: readonly Stream[] = both.map((end) => ({ ...end, stage: 'new', watched: false }));

async function play(
  native: NativeBinding,
  object: BpfObject,
  keep: (fd: Fd) => Fd,
): Promise<AccelerationTrial> {
  const map = (name: string): Fd => keep(object.mapFd(name));
  const ends = map(mapSpecs.ends.name);
  const program = keep(object.programFd(messageHook.program));
  if (!linksToMaps(native, program, ends)) return { fault: tooOld, ...notTried };
  const accelerated = new MapTable(native, map(mapSpecs.accelerated.name), mapSpecs.accelerated);
  accelerated.set(connection, { bytesSent: 0n, bytesReceived: 0n, unanswered: [0, 0] });
  switchOn(native, map(mapSpecs.config.name));
  native.attachToMap(program, ends, messageHook.attachType);
  const trial = await native.trySockhash(
    ends,
    map(mapSpecs.streams.name),
    encodeAll(endKey, both),
    encodeAll(stream, streams),
  );
  const { bytesSent = 0n, bytesReceived = 0n } = accelerated.get(connection) ?? {};
  return judge(trial, Number(bytesSent + bytesReceived));
}

/** What a kernel before 6.10 does not do: the sign that it is one. The call takes a map in place of a cgroup. */
function linksToMaps(native: NativeBinding, program: Fd, map: Fd): boolean {
  try {
    native.closeFd(native.linkCgroup(program, map, messageHook.attachType));
    return true;
  } catch (thrown) {
    if (isNativeError(thrown) && thrown.code === 'EINVAL') return false;
    throw thrown;
  }
}

function switchOn(native: NativeBinding, config: Fd): void {
  const { key, value } = mapSpecs.config;
  const flags = { captureUnknown: false, kernelPath: true, accelerate: true };
  const ids = {
    nodeNetnsCookie: 0n,
    ztunnelCgroupId: 0n,
    drainedCgroupId: 0n,
    abi: 0,
    lastPodId: 0,
    flowShare: 0,
    flowLeast: 0,
    flowCommon: 0,
  };
  native.mapUpdate(config, encode(key, 0), encode(value, { ...ids, flags, verdictGeneration: 0n }), 0);
}

/** For people who ask what this kernel can do. */
export const accelerationFeature = ({ fault, pairs, spuriousWakeups }: AccelerationTrial): Feature => ({
  name: 'acceleration of the kernel path',
  since: '6.10',
  required: false,
  found: fault === undefined,
  detail:
    fault ??
    `every byte arrived; ${spuriousWakeups} of ${pairs} blocking reads failed with EAGAIN: only for pods that ask for it`,
  without: '--accelerate does nothing',
});

/** @param redirected bytes that the program says it has handed over */
export function judge(trial: SockhashTrial, redirected: number): AccelerationTrial {
  const { pairs, intact, bytes, spuriousWakeups } = trial;
  const fault =
    intact < pairs
      ? `on ${pairs - intact} of ${pairs} accelerated connections bytes were lost, or came in another order`
      : redirected > 0 && redirected < bytes
        ? undefined
        : `${redirected} of ${bytes} bytes took the short way, and both ways were to be tried`;
  return { fault, pairs, spuriousWakeups };
}
