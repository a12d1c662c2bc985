/**
 * The kernel side as installed on this node: loaded programs, open maps, and the links that make them work. If maps
 * that decide about traffic had to be made anew (another size, another version, a lost pin) while older programs
 * are enforcing, those keep enforcing on the old maps until `switchOver`, when the new maps have been filled: there
 * is no moment at which an enrolled pod's traffic meets an empty map.
 */
import type { Logger } from '../base/log.ts';
import { MeshError } from '../base/errors.ts';
import type { Fd, NativeBinding, RingBuffer } from '../native/binding.ts';
import { bpfCall } from './bpf-error.ts';
import {
  cgroupHooks,
  connectHook,
  type Hook,
  messageHook,
  podHook,
  podLink,
  podOfLink,
  recordHook,
} from './hooks.ts';
import { attachLink, cgroupTarget, ensureLink, type LoadedProgram } from './links.ts';
import { MapTable } from './map-table.ts';
import { allMapSpecs, mapSpecs, type MapSizes, type MapSpec } from './maps.ts';
import { Pins } from './pins.ts';
import { loadPrograms, pinnedPrograms, type Programs } from './programs.ts';
import { EarlierMaps } from './takeover/earlier-maps.ts';

export interface InstallationOptions {
  readonly native: NativeBinding;
  /** Directory of ours on a BPF file system. */
  readonly pinRoot: string;
  /** Everything below is subject to the mesh. */
  readonly cgroupRoot: string;
  readonly objectPath: string;
  readonly sizes: MapSizes;
  /** Connections are to be accelerated. */
  readonly accelerate: boolean;
  readonly log: Logger;
}

/** Who carries over what the programs in force before know of connections. */
export interface Carrier {
  begin(): void;
  merge(): void;
}

export class Installation {
  /** Earlier programs are in force on maps that are not this installation's, until `switchOver`. */
  readonly staged: boolean;
  /** What those know, or knew when they were replaced; undefined: nothing that is not in these maps. */
  readonly earlier: EarlierMaps | undefined;
  readonly #options: InstallationOptions;
  readonly #pins: Pins;
  readonly #programs: Programs;
  readonly #podNetns = new Map<bigint, string>();
  #ownQuestions: Fd | undefined;
  #earlierRecorder: Fd | undefined;
  #live = false;

  private constructor(options: InstallationOptions, pins: Pins, programs: Programs) {
    this.#options = options;
    this.#pins = pins;
    this.#programs = programs;
    this.earlier = EarlierMaps.find(options.native, pins, programs.maps);
    this.staged = this.hasNewPolicyMaps && pins.list('links').length > 0;
  }

  /** @throws MeshError UNSUPPORTED, ABI_MISMATCH, BPF_LOAD */
  static open(options: InstallationOptions): Installation {
    const pins = new Pins(options.native, options.pinRoot);
    pins.prepare();
    try {
      const programs = loadPrograms({ native: options.native, pins }, options.objectPath, options.sizes);
      return new Installation(options, pins, programs);
    } catch (thrown) {
      pins.unlock();
      throw thrown;
    }
  }

  /** What is in force already, without the object. Undefined if it is not complete, or not of our layout. */
  static inForce(options: InstallationOptions): Installation | undefined {
    const pins = new Pins(options.native, options.pinRoot);
    pins.prepare();
    try {
      const programs = pinnedPrograms({ native: options.native, pins }, options.sizes);
      if (programs !== undefined) return new Installation(options, pins, programs);
    } catch (thrown) {
      pins.unlock();
      throw thrown;
    }
    pins.unlock();
    return undefined;
  }

  /** Some programs are not those that were in force before, if any were; or those could not be tried out. */
  get hasUntriedPrograms(): boolean {
    return this.#programs.newPrograms.length > 0 || this.#pins.isUntried;
  }

  /** What enforces until `switchOver` has been tried out on this kernel. */
  get replacesTriedPrograms(): boolean {
    return this.#pins.list('links').length > 0 && !this.#pins.isUntried;
  }

  /** To be remembered with what is in force: the next start tries again. */
  markUntried(yes: boolean): void {
    this.#pins.markUntried(yes);
  }

  /** Maps that decide about traffic had to be made anew, and are empty. */
  get hasNewPolicyMaps(): boolean {
    return allMapSpecs.some(({ name, holds }) => holds === 'policy' && this.isNew(name));
  }

  isNew(map: string): boolean {
    return this.#programs.newMaps.includes(map);
  }

  /** The programs in force read this installation's maps. */
  get live(): boolean {
    return this.#live;
  }

  table<K, V>(spec: MapSpec<K, V>): MapTable<K, V> {
    return new MapTable(this.#options.native, this.#map(spec.name), spec);
  }

  /** The records of one that is a ring; the caller's, to be closed. */
  ring(name: string): RingBuffer {
    return this.#options.native.openRingBuffer(this.#map(name));
  }

  /** Goes live at once if that can bypass nothing: no links yet, or the same maps as before. */
  start(carrier?: Carrier): void {
    if (!this.staged) {
      this.switchOver(carrier);
      return;
    }
    this.#options.log.warn(
      { newMaps: this.#programs.newMaps },
      'BPF maps had to be made anew: the programs installed before stay in force until the new ones are filled',
    );
    this.#emptyEarlierVerdicts();
  }

  /** Programs that go by other maps than ours go by verdicts that nobody takes back any more. Of any layout. */
  #emptyEarlierVerdicts(): void {
    const { native } = this.#options;
    if (!this.isNew(mapSpecs.verdicts.name)) return;
    this.#pins.with('maps', mapSpecs.verdicts.name, (fd) => {
      const { keys, count } = native.mapDump(fd);
      if (count > 0) native.mapDeleteBatch(fd, keys, count);
    });
  }

  /**
   * Has this installation's own connect program answer the questions that come from a cgroup, until `switchOver`: programs
   * in force that go by other maps take whoever asks from the next node program's cgroup for a stranger. Not pinned: it
   * ends with this process.
   */
  answerQuestionsFrom(cgroup: string): void {
    const { native } = this.#options;
    const target = cgroupTarget(cgroup);
    this.#ownQuestions = attachLink(native, connectHook, target, this.#program(connectHook.program).fd);
  }

  /** Pins what is new and brings every link to the current programs. What captures comes last. */
  switchOver(carrier?: Carrier): void {
    if (carrier !== undefined) this.#keepEarlierRecorder();
    carrier?.begin();
    for (const name of this.#programs.newMaps) this.#pinMap(name);
    for (const name of this.#programs.newPrograms) this.#pins.put('progs', name, this.#program(name).fd);
    this.#live = true;
    if (this.#options.accelerate) this.#attachToEnds();
    // What is recorded from here on is so for the programs that look for it next.
    this.#attachCgroup(recordHook);
    for (const [inode, netns] of this.#podNetns) this.attachPod(inode, netns);
    this.#updateOtherPodLinks();
    for (const hook of cgroupHooks) if (hook !== recordHook) this.#attachCgroup(hook);
    this.#endOwnQuestions();
    carrier?.merge();
  }

  #attachCgroup(hook: Hook): void {
    const target = cgroupTarget(this.#options.cgroupRoot);
    const outcome = ensureLink(this.#deps(), hook.program, hook, target, this.#program(hook.program));
    this.#options.log.debug({ program: hook.program, cgroup: target.path, outcome }, 'attached');
  }

  /**
   * The recorder in force goes on beside its successor, for connections that the old programs saw being made. By a link
   * without a pin, which ends with this process at the latest.
   */
  #keepEarlierRecorder(): void {
    const { native, cgroupRoot } = this.#options;
    this.#pins.with('progs', recordHook.program, (fd) => {
      if (native.programInfo(fd).id === this.#program(recordHook.program).id) return;
      this.#earlierRecorder = attachLink(native, recordHook, cgroupTarget(cgroupRoot), fd);
    });
  }

  endEarlierRecorder(): void {
    if (this.#earlierRecorder !== undefined) this.#options.native.closeFd(this.#earlierRecorder);
    this.#earlierRecorder = undefined;
  }

  /** Before any socket is there: each keeps the program that was attached when it was put in. */
  #attachToEnds(): void {
    const { program, attachType } = messageHook;
    bpfCall('BPF_ATTACH', `attaching ${program} to map ${mapSpecs.ends.name}`, () =>
      this.#options.native.attachToMap(this.#program(program).fd, this.#map(mapSpecs.ends.name), attachType),
    );
  }

  /** Puts the inbound program in front of a pod's sockets; before `switchOver`, as soon as that happens. */
  attachPod(inode: bigint, netns: string): void {
    this.#podNetns.set(inode, netns);
    if (!this.#live) return;
    const target = { type: 'netns', path: netns, id: inode } as const;
    const outcome = ensureLink(this.#deps(), podLink(inode), podHook, target, this.#program(podHook.program));
    this.#options.log.debug({ program: podHook.program, netns, outcome }, 'attached');
  }

  detachPod(inode: bigint): void {
    this.#podNetns.delete(inode);
    // Detached as well as unpinned: someone else may hold a descriptor.
    this.#pins.with('links', podLink(inode), (fd) => this.#detach(fd));
    this.#pins.remove('links', podLink(inode));
  }

  /** Namespaces, by inode, that have a link or had one when they went away. */
  attachedPods(): bigint[] {
    return this.#pins.list('links').flatMap((name) => podOfLink(name) ?? []);
  }

  /** Lets go of the descriptors. Everything pinned goes on working. */
  close(): void {
    this.#endOwnQuestions();
    this.endEarlierRecorder();
    for (const { fd } of this.#programs.programs.values()) this.#options.native.closeFd(fd);
    for (const fd of this.#programs.maps.values()) this.#options.native.closeFd(fd);
    this.#pins.unlock();
  }

  #endOwnQuestions(): void {
    if (this.#ownQuestions !== undefined) this.#options.native.closeFd(this.#ownQuestions);
    this.#ownQuestions = undefined;
  }

  #deps(): { native: NativeBinding; pins: Pins } {
    return { native: this.#options.native, pins: this.#pins };
  }

  #program(name: string): LoadedProgram {
    const program = this.#programs.programs.get(name);
    if (program === undefined) throw new MeshError('INTERNAL', `no program named ${name}`);
    return program;
  }

  #map(name: string): Fd {
    const fd = this.#programs.maps.get(name);
    if (fd === undefined) throw new MeshError('INTERNAL', `no map named ${name}`);
    return fd;
  }

  #pinMap(name: string): void {
    const fd = this.#programs.maps.get(name);
    if (fd !== undefined) this.#pins.put('maps', name, fd);
  }

  /** Links of pods an earlier agent enrolled: their namespaces' paths are not known, their links are. */
  #updateOtherPodLinks(): void {
    const current = this.#program(podHook.program);
    for (const inode of this.attachedPods()) {
      this.#pins.with('links', podLink(inode), (fd) => {
        const { programId, targetId } = this.#options.native.linkInfo(fd);
        if (programId !== current.id && targetId !== 0n) this.#options.native.linkUpdate(fd, current.fd);
      });
    }
  }

  #detach(fd: Fd): void {
    // A link whose namespace is gone has been detached by the kernel, which refuses to do it again.
    if (this.#options.native.linkInfo(fd).targetId !== 0n) this.#options.native.linkDetach(fd);
  }
}
