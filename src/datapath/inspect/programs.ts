/**
 * What is attached where, as the kernel says and not as anybody remembers: each pinned link is opened and asked. Works
 * from the pins alone. Called by the CLI.
 */
import { readFileSync } from 'node:fs';
import type { LinkInfo, NativeBinding, ProgramInfo } from '../../native/binding.ts';
import { bpfCall } from '../bpf-error.ts';
import { cgroupHooks, type Hook, messageHook, podHook, podLink, podOfLink } from '../hooks.ts';
import { MapTable } from '../map-table.ts';
import { mapSpecs } from '../maps.ts';
import { Pins } from '../pins.ts';

export interface AttachedProgram {
  readonly program: string;
  readonly attachPoint: string;
  readonly purpose: string;
  /** False: the link is missing, was detached, or its namespace is gone. */
  readonly attached: boolean;
  /** A cgroup's id or a pod's label; the namespace's inode where the pod is not known. */
  readonly target: string;
  /** The kernel's hash of the program's instructions; undefined if not attached. */
  readonly tag: string | undefined;
  /** While the kernel counted: since it was loaded, or of a time that was asked about. */
  readonly runs: bigint;
  /** Of all runs together. */
  readonly totalNs: bigint;
  /** Mean time of one run; undefined if none was counted. */
  readonly averageNs: number | undefined;
  /** Whether runs are counted all the time (`kernel.bpf_stats_enabled`); undefined: not known. */
  readonly isCounting: boolean | undefined;
}

/** The cgroup hooks, the one for messages where connections are accelerated, then one entry for each enrolled pod. */
export function listPrograms(native: NativeBinding, pinRoot: string): AttachedProgram[] {
  const pins = new Pins(native, pinRoot);
  const isCounting = countsRuns();
  const loaded = new Map(native.listPrograms().map((info) => [info.id, info]));
  const describe = (hook: Hook, linkName: string, target: (info: LinkInfo) => string): AttachedProgram =>
    attachedProgram(
      hook,
      pins.with('links', linkName, (fd) => native.linkInfo(fd)),
      loaded,
      target,
      isCounting,
    );
  const labels = podLabels(native, pins);
  const links = pins.list('links').flatMap((name) => podOfLink(name) ?? []);
  const inodes = new Set([...labels.keys(), ...links]);
  return [
    ...cgroupHooks.map((hook) => describe(hook, hook.program, (info) => `cgroup ${info.targetId}`)),
    ...messageProgram(native, pins, loaded, isCounting),
    ...[...inodes].map((inode) =>
      describe(podHook, podLink(inode), () => labels.get(inode) ?? `namespace ${inode}`),
    ),
  ];
}

function attachedProgram(
  { program, attachPoint, purpose }: Hook,
  link: LinkInfo | undefined,
  loaded: ReadonlyMap<number, ProgramInfo>,
  target: (info: LinkInfo) => string,
  isCounting: boolean | undefined,
): AttachedProgram {
  const info = link === undefined ? undefined : loaded.get(link.programId);
  return {
    program,
    attachPoint,
    purpose,
    attached: link !== undefined && link.targetId !== 0n,
    target: link === undefined ? '' : target(link),
    tag: info?.tag,
    isCounting,
    ...countsOf(info?.runCount ?? 0n, info?.runTimeNs ?? 0n),
  };
}

function messageProgram(
  native: NativeBinding,
  pins: Pins,
  loaded: ReadonlyMap<number, ProgramInfo>,
  isCounting: boolean | undefined,
): AttachedProgram[] {
  const { name } = mapSpecs.config;
  const config = pins.with('maps', name, (fd) => new MapTable(native, fd, mapSpecs.config).get(0));
  if (config?.flags.accelerate !== true) return [];
  const { program, attachType } = messageHook;
  const pinned = pins.with('progs', program, (fd) => native.programInfo(fd).id) ?? 0;
  const attached =
    pins.with('maps', mapSpecs.ends.name, (fd) => native.attachedToMap(fd, attachType)) ?? pinned;
  const link = { id: 0, programId: attached, type: 0, attachType, targetId: BigInt(attached) };
  return [attachedProgram(messageHook, link, loaded, () => `map ${mapSpecs.ends.name}`, isCounting)];
}

const countsOf = (
  runs: bigint,
  totalNs: bigint,
): Pick<AttachedProgram, 'runs' | 'totalNs' | 'averageNs'> => ({
  runs,
  totalNs,
  averageNs: runs === 0n ? undefined : Number(totalNs / runs),
});

/** The programs as they are in `after`, with what was counted since `before`. Pure. */
export function countedBetween(
  before: readonly AttachedProgram[],
  after: readonly AttachedProgram[],
): AttachedProgram[] {
  const earlier = new Map(before.map((program) => [placeOf(program), program]));
  return after.map((program) => {
    const { runs = 0n, totalNs = 0n } = earlier.get(placeOf(program)) ?? {};
    // A program that was loaded anew meanwhile begins at 0.
    return runs > program.runs
      ? program
      : { ...program, ...countsOf(program.runs - runs, program.totalNs - totalNs) };
  });
}

const placeOf = ({ program, tag, target }: AttachedProgram): string => `${program} ${tag ?? ''} ${target}`;

/** Makes the kernel count runs until the function that it returns is called. @throws MeshError PERMISSION, BPF_LOAD */
export function startCounting(native: NativeBinding): () => void {
  const fd = bpfCall('BPF_LOAD', 'switching on the kernel’s statistics of BPF programs', () =>
    native.enableRunStats(),
  );
  return () => native.closeFd(fd);
}

function countsRuns(): boolean | undefined {
  try {
    return readFileSync('/proc/sys/kernel/bpf_stats_enabled', 'utf8').trim() === '1';
  } catch {
    return undefined;
  }
}

function podLabels(native: NativeBinding, pins: Pins): Map<bigint, string> {
  const entries = pins.with('maps', mapSpecs.pods.name, (fd) =>
    new MapTable(native, fd, mapSpecs.pods).entries(),
  );
  return new Map(entries?.map(([, pod]) => [pod.netnsInode, pod.label]));
}
