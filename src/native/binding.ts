/**
 * The surface of the native addon (`native/`), in the order of its export table. DTOs only: `null` for "none",
 * numbers for file descriptors, bytes for keys and values; no defaults and no policy on the native side. Every
 * call either returns or throws a `NativeError` (`errors.ts`). Descriptors returned here belong to the caller.
 */
import type { Brand } from '../base/brand.ts';

/** An open file descriptor. Whoever holds it closes it, once. */
export type Fd = Brand<number, 'Fd'>;

export interface MapInfo {
  readonly id: number;
  readonly name: string;
  /** Kernel map type number (`enum bpf_map_type`). */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

export interface ProgramInfo {
  readonly id: number;
  readonly name: string;
  /** Kernel program type number (`enum bpf_prog_type`). */
  readonly type: number;
  /** 16 hex digits: the kernel's hash of the instructions, equal for equal programs. */
  readonly tag: string;
  readonly mapIds: readonly number[];
  /** Counted only while `kernel.bpf_stats_enabled` is 1, or `enableRunStats` is open. */
  readonly runCount: bigint;
  readonly runTimeNs: bigint;
}

export interface LinkInfo {
  readonly id: number;
  readonly programId: number;
  /** Kernel link type number (`enum bpf_link_type`). */
  readonly type: number;
  /** Attach type number (`enum bpf_attach_type`). */
  readonly attachType: number;
  /** cgroup id, or inode of the network namespace (0 once that namespace is gone); 0 for other link types. */
  readonly targetId: bigint;
}

export interface BtfMember {
  readonly name: string;
  readonly offsetBits: number;
  readonly sizeBytes: number;
}

export interface BtfStruct {
  readonly name: string;
  readonly sizeBytes: number;
  readonly members: readonly BtfMember[];
}

export interface TcpInfo {
  readonly state: number;
  readonly rttUs: number;
  readonly retransmits: number;
  readonly bytesAcked: bigint;
  readonly bytesReceived: bigint;
}

export interface SocketSpec {
  /** Path or `/proc/PID/ns/net` of the namespace the socket is born in; null for the process's own. */
  readonly netns: string | null;
  readonly family: 4 | 6;
  /** Local address, or null for the wildcard; a non-local one needs `transparent`. */
  readonly bindIp: string | null;
  readonly bindPort: number;
  readonly transparent: boolean;
  /** SO_MARK, or 0. */
  readonly mark: number;
  /** For listeners: the backlog; 0 makes a socket that does not listen. */
  readonly backlog: number;
  /** For IPv6 wildcard listeners: also take IPv4. */
  readonly dualStack: boolean;
}

export interface ConnectStart {
  /** The local end. */
  readonly ip: string;
  readonly port: number;
  /** Whether the connection stands already, as it does within the host. Else the socket is writable when it does. */
  readonly connected: boolean;
}

/** `priority PRIORITY fwmark MARK/MASK lookup TABLE`, and there `local default dev lo`: marked packets are this host's. */
export interface MarkRoute {
  readonly family: 4 | 6;
  readonly mark: number;
  readonly mask: number;
  /** From 1 to 252; those above are the kernel's own. */
  readonly table: number;
  /** Of the rule; not looked at when it is removed. */
  readonly priority: number;
}

/** One end of a connection, as the namespace it is in knows it. */
export interface DoomedConnection {
  readonly local: { readonly ip: string; readonly port: number };
  readonly remote: { readonly ip: string; readonly port: number };
  /** The socket's own, so that a successor is spared; null: whoever it is. */
  readonly cookie: bigint | null;
}

export interface SockhashTrial {
  readonly pairs: number;
  /** Pairs of which all bytes arrived on both sides, in their order, and after them the end of the connection. */
  readonly intact: number;
  readonly bytes: number;
  /** Blocking reads that were woken by their own side's half-close, and failed with EAGAIN instead of waiting on. */
  readonly spuriousWakeups: number;
}

/** One end of a connection that exists. */
export interface TcpSocket {
  readonly local: { readonly ip: string; readonly port: number };
  readonly remote: { readonly ip: string; readonly port: number };
  readonly cookie: bigint;
}

/** An object handle: opaque, closed explicitly, closed by the garbage collector as a last resort. */
export interface BpfObject {
  /** Parses and loads the whole ELF. `maxEntries` and `rodata` are applied before the kernel sees it. */
  load(): void;
  programNames(): readonly string[];
  mapNames(): readonly string[];
  /** Sets a map's size, before load. */
  setMaxEntries(map: string, maxEntries: number): void;
  /** Makes a map reuse one that exists (and is open as `fd`), before load. */
  reuseMap(map: string, fd: Fd): void;
  /** Overwrites bytes of `.rodata` at the named variable, before load. */
  setRodata(variable: string, value: Uint8Array): void;
  /** Whether a program is loaded at all (optional programs of probed features), before load. */
  setAutoload(program: string, autoload: boolean): void;
  /** A duplicate descriptor. */
  programFd(program: string): Fd;
  /** A duplicate descriptor. */
  mapFd(map: string): Fd;
  /** The verifier's log of a failed load; empty when there was none. */
  verifierLog(): string;
  close(): void;
}

/** An object for each record would cost more than what is done with it. */
export type OnRecords = (bytes: Uint8Array, ends: Uint32Array) => void;

export interface RingBuffer {
  /**
   * Starts delivery; `onRecords` gets a copy of the records available, on the JS thread, 1024 at most: one after the
   * other, with where each ends.
   */
  start(onRecords: OnRecords): void;
  /** Leaves records where they are, and the process asleep, until `resume`. */
  pause(): void;
  resume(): void;
  /** Delivers now what there is, paused or not. */
  drain(): void;
  close(): void;
}

export interface NativeBinding {
  // bpf_object
  openObject(path: string): BpfObject;
  btfStructs(path: string): readonly BtfStruct[];
  // bpf_fs
  pin(fd: Fd, path: string): void;
  openPinned(path: string): Fd;
  // bpf_map
  /** A map that exists, by its id: for those that have no pin. */
  openMap(id: number): Fd;
  mapInfo(fd: Fd): MapInfo;
  /** The structs of the object that the map was made from, as the kernel keeps them; none if it was made without. */
  mapStructs(fd: Fd): readonly BtfStruct[];
  mapLookup(fd: Fd, key: Uint8Array): Uint8Array | null;
  mapLookupAndDelete(fd: Fd, key: Uint8Array): Uint8Array | null;
  mapUpdate(fd: Fd, key: Uint8Array, value: Uint8Array, flags: number): void;
  /** True when the key was there. */
  mapDelete(fd: Fd, key: Uint8Array): boolean;
  /** Keys and values concatenated; one syscall a batch where the kernel can. Throws on the first failure. */
  mapUpdateBatch(fd: Fd, keys: Uint8Array, values: Uint8Array, count: number): void;
  /** Deletes what exists of `keys`; returns how many did. */
  mapDeleteBatch(fd: Fd, keys: Uint8Array, count: number): number;
  /** The whole map, keys and values concatenated. A snapshot only as far as the kernel gives one. */
  mapDump(fd: Fd): { readonly keys: Uint8Array; readonly values: Uint8Array; readonly count: number };
  // bpf_link
  linkCgroup(program: Fd, cgroup: Fd, attachType: number): Fd;
  linkNetns(program: Fd, netns: string, attachType: number): Fd;
  linkUpdate(link: Fd, newProgram: Fd): void;
  linkDetach(link: Fd): void;
  linkInfo(fd: Fd): LinkInfo;
  /** Has a program run for the sockets that are put into a map from now on, in place of the one before. */
  attachToMap(program: Fd, map: Fd, attachType: number): void;
  /** False if another program, or none, is attached. Sockets that are in the map keep the program they have. */
  detachFromMap(program: Fd, map: Fd, attachType: number): boolean;
  /** Id of the program, 0 if there is none; null: this kernel does not say (before 5.16). */
  attachedToMap(map: Fd, attachType: number): number | null;
  programInfo(fd: Fd): ProgramInfo;
  /** Every loaded program / link of the kernel, for `programs`, `uninstall --verify` and `doctor`. */
  listPrograms(): readonly ProgramInfo[];
  /** The kernel counts programs' runs while this is open, whatever `kernel.bpf_stats_enabled` says (Linux 5.8). */
  enableRunStats(): Fd;
  listLinks(): readonly LinkInfo[];
  listMaps(): readonly MapInfo[];
  // ring_buffer
  openRingBuffer(map: Fd): RingBuffer;
  // bpf_probe
  /** Loads a two-instruction program that calls `helper` and says whether the verifier took it. */
  probeHelper(programType: number, attachType: number, helper: number): boolean;
  probeMapType(mapType: number): boolean;
  probeProgramType(programType: number, attachType: number): boolean;
  // netns_socket
  /** Makes a TCP socket in a namespace on the dedicated thread: bound, and listening if `backlog` is not 0. */
  createSocket(spec: SocketSpec): Promise<Fd>;
  /** Several of one kind, in one visit to the namespace; at most 1024. All or none. */
  createSockets(spec: SocketSpec, count: number): Promise<readonly Fd[]>;
  /** Runs on the same thread: the namespace's cookie (SO_NETNS_COOKIE, Linux 5.14), or null where unsupported. */
  netnsCookie(netns: string): Promise<bigint | null>;
  /**
   * For kernels without SO_NETNS_COOKIE: a UDP connect() from that namespace, whose outcome is ignored; returns the
   * socket's cookie, under which the connect hook left the namespace's cookie.
   */
  probeConnect(netns: string, ip: string, port: number): Promise<bigint>;
  /** Addresses configured on the namespace's interfaces, loopback and link-local left out. */
  netnsAddresses(netns: string): Promise<readonly string[]>;
  /** (device, inode) of a namespace: equal for equal namespaces. */
  netnsId(netns: string): { readonly device: bigint; readonly inode: bigint };
  // netns_routing
  /**
   * A new network namespace without a name, which ends with its last descriptor. All it has is `lo`, and there every
   * address is this host's. Runs on the same thread.
   */
  createLoopbackNetns(): Promise<Fd>;
  /** The rule and its table's only route; what is there already stays. Runs on the same thread. */
  addMarkRoute(netns: string, route: MarkRoute): Promise<void>;
  /** Removes them, rules of every priority; what is not there is passed over. */
  removeMarkRoute(netns: string, route: MarkRoute): Promise<void>;
  /** Writes `text` to each of the files, which must exist, as seen from the namespace: `/proc/sys/net/…`. */
  writeInNetns(netns: string, paths: readonly string[], text: string): Promise<void>;
  // sockhash_trial
  /**
   * Plays pairs of connected loopback sockets in a sockhash, one pair after the other: the dialling end under the first
   * key and with the first value in a map of socket storage, the other end with the second ones. Runs on the same thread,
   * which everybody else then waits for: about 0.2 s, a few seconds where much is amiss.
   */
  trySockhash(sockhash: Fd, storage: Fd, keys: Uint8Array, values: Uint8Array): Promise<SockhashTrial>;
  // socket_diag
  /**
   * Ends TCP connections of any process in a namespace, each of which sees a reset; returns how many. What is not there
   * (any more) is passed over, and so is whoever listens there. Runs on the same thread.
   */
  destroySockets(netns: string, connections: readonly DoomedConnection[]): Promise<number>;
  /** Whether the kernel can do that at all. */
  probeSocketDestroy(): boolean;
  /** Connections of any process in a namespace, in every state but those without a socket. Runs on the same thread. */
  tcpSockets(netns: string): Promise<readonly TcpSocket[]>;
  // socket_options
  socketCookie(fd: Fd): bigint;
  tcpInfo(fd: Fd): TcpInfo;
  /** The errno with which the connection broke, or 0. The kernel tells it once: a read would not meet it again. */
  socketError(fd: Fd): number;
  peerCredentials(fd: Fd): { readonly pid: number; readonly uid: number; readonly gid: number };
  /** The socket's local address as the kernel has it: `::ffff:a.b.c.d` for IPv4 on a dual-stack socket. */
  socketName(fd: Fd): { readonly ip: string; readonly port: number };
  // tcp_socket
  /** TCP_NODELAY and keepalive, for the socket and, if it listens, for all that it accepts. */
  tuneSocket(fd: Fd, keepaliveSeconds: number): void;
  /**
   * Binds to an address, if one is given, and connects, without waiting. The port is then none that a kernel chooses by
   * itself, as long as there are others: whose address it is may use those for connections of his own.
   */
  connectSocket(fd: Fd, from: string | null, to: string, port: number): ConnectStart;
  // fd
  openPath(path: string): Fd;
  dup(fd: Fd): Fd;
  closeFd(fd: Fd): void;
  /** flock(2), exclusive and without waiting: false while another process holds it. Ends when `fd` is closed. */
  tryLock(fd: Fd): boolean;
  /** Takes charge of a descriptor that the process inherited: closed on exec from here on. */
  adoptFd(fd: number): Fd;
  /** Number of descriptors this addon handed out and has not seen closed; for leak tests. */
  openFdCount(): number;
  // handing_over
  /**
   * One packet of at most 511 bytes on a SOCK_SEQPACKET socket, with a duplicate of `fd` if there is one. Never waits:
   * EAGAIN when the receiver does not read.
   */
  sendMessage(socket: Fd, text: string, fd: Fd | null): void;
  /** Memory that holds `bytes` and can never be changed (memfd_create(2), F_SEAL_WRITE); read it at offset 0. */
  sealedMemory(bytes: Uint8Array): Fd;
}

/** What is called on one map. */
export type MapCalls = Pick<
  NativeBinding,
  | 'mapInfo'
  | 'mapLookup'
  | 'mapLookupAndDelete'
  | 'mapUpdate'
  | 'mapDelete'
  | 'mapUpdateBatch'
  | 'mapDeleteBatch'
  | 'mapDump'
>;
