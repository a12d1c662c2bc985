/**
 * Addresses nobody has, set aside for documentation (RFC 5737, RFC 3849): the node program asks its own BPF programs
 * questions by dialling them. `bpf/connect.bpf.c` has the same ones.
 */
import { type IpAddress, parseIp } from './ip.ts';

export const probeIpv4 = parseIp('192.0.2.1');
export const probeIpv6 = parseIp('2001:db8::1');

export const isProbeAddress = (ip: IpAddress): boolean => ip === probeIpv4 || ip === probeIpv6;
