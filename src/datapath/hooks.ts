/**
 * The catalogue of BPF programs and where each is attached, in step with `bpf/*.bpf.c`. Numbers are the kernel's
 * (`enum bpf_attach_type` in <linux/bpf.h>).
 */
export interface Hook {
  /** The program's name in the object and in the kernel; all ours begin with `mesh_`. */
  readonly program: string;
  /** What people call the attach point. */
  readonly attachPoint: string;
  readonly attachType: number;
  readonly purpose: string;
}

/** It also answers the agent's question for a network namespace's cookie (`netns-cookie.ts`). */
export const connectHook: Hook = {
  program: 'mesh_connect4',
  attachPoint: 'cgroup/connect4',
  attachType: 10,
  purpose: 'sends IPv4 connections into the mesh to ztunnel, refuses what may not leave it',
};

/** It also tells how connections of the kernel path ended. */
export const recordHook: Hook = {
  program: 'mesh_sockops',
  attachPoint: 'sock_ops',
  attachType: 3,
  purpose: 'records whose each connection is, by tuple',
};

/** Attached once, to the cgroup root. In order of attachment: what captures comes last. */
export const cgroupHooks: readonly Hook[] = [
  recordHook,
  {
    program: 'mesh_peername4',
    attachPoint: 'cgroup/getpeername4',
    attachType: 29,
    purpose: 'shows applications the IPv4 address they dialled',
  },
  {
    program: 'mesh_peername6',
    attachPoint: 'cgroup/getpeername6',
    attachType: 30,
    purpose: 'shows applications the IPv6 address they dialled',
  },
  {
    program: 'mesh_sendmsg4',
    attachPoint: 'cgroup/sendmsg4',
    attachType: 14,
    purpose: 'refuses IPv4 datagrams that no NamespaceAccess allows',
  },
  {
    program: 'mesh_sendmsg6',
    attachPoint: 'cgroup/sendmsg6',
    attachType: 15,
    purpose: 'refuses IPv6 datagrams that no NamespaceAccess allows',
  },
  connectHook,
  {
    program: 'mesh_connect6',
    attachPoint: 'cgroup/connect6',
    attachType: 11,
    purpose: 'sends IPv6 connections into the mesh to ztunnel, refuses what may not leave it',
  },
];

/** Attached to the network namespace of every enrolled pod. */
export const podHook: Hook = {
  program: 'mesh_sk_lookup',
  attachPoint: 'sk_lookup',
  attachType: 36,
  purpose: 'hands inbound connections to ztunnel or admits them',
};

/** Attached to the map `ends`, where connections are accelerated. */
export const messageHook: Hook = {
  program: 'mesh_sk_msg',
  attachPoint: 'sk_msg',
  attachType: 7,
  purpose: 'hands bytes from socket to socket on accelerated connections',
};

export const allHooks: readonly Hook[] = [...cgroupHooks, podHook, messageHook];

// Pinned links are named after their program, those of pods after the inode of the network namespace, which is what
// the kernel says when asked for a link's target.
const podLinkPrefix = 'netns-';

/** The pin of a pod's link, by its namespace's inode. */
export const podLink = (inode: bigint): string => `${podLinkPrefix}${inode}`;

/** The inode in the name of such a pin; undefined for other links. */
export const podOfLink = (name: string): bigint | undefined =>
  name.startsWith(podLinkPrefix) ? BigInt(name.slice(podLinkPrefix.length)) : undefined;
