/** Parsers of single settings. @throws MeshError INVALID_ARGUMENT naming the setting and what it takes. */
import { MeshError } from '../../base/errors.ts';
import { formatSocketAddress, isIpv4, parseSocketAddress, tryParseIp } from '../../base/ip.ts';
import type { EgressTarget } from '../../model/access.ts';
import { serviceKey } from '../../model/mesh.ts';
import { type LogLevel, logLevels } from '../../telemetry/admin-api.ts';

export function parseLogLevel(text: string): LogLevel {
  const level = logLevels.find((known) => known === text);
  if (level !== undefined) return level;
  throw new MeshError('INVALID_ARGUMENT', `"${text}" is not a log level`, {
    hint: `one of ${logLevels.join(', ')}`,
  });
}

/** Through ztunnel always, or in the kernel alone between pods of the node of which none asks for HBONE. */
const sameNodes = ['hbone', 'kernel'] as const;
export type SameNode = (typeof sameNodes)[number];

export function parseSameNode(text: string): SameNode {
  const known = sameNodes.find((name) => name === text);
  if (known !== undefined) return known;
  throw new MeshError('INVALID_ARGUMENT', `--same-node: "${text}" is not one of ${sameNodes.join(', ')}`);
}

/** Which connections on the kernel path go from socket to socket. */
const accelerations = ['off', 'auto', 'forced'] as const;
export type Acceleration = (typeof accelerations)[number];

export function parseAcceleration(text: string): Acceleration {
  const known = accelerations.find((name) => name === text);
  if (known !== undefined) return known;
  throw new MeshError(
    'INVALID_ARGUMENT',
    `--accelerate: "${text}" is not one of ${accelerations.join(', ')}`,
  );
}

/** How many entries a BPF map may have: the kernel reserves 16 bytes for each, used or not. */
export function parseEntries(text: string, setting: string): number {
  const entries = /^\d+$/.test(text) ? Number(text) : 0;
  if (entries >= 1 && entries <= 4_194_304) return entries;
  throw new MeshError('INVALID_ARGUMENT', `${setting}: "${text}" is not a number from 1 to 4194304`);
}

/** Whole or broken seconds, 0 to a day. */
export function parseSeconds(text: string, setting: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= 0 && seconds <= 86_400) return seconds;
  throw new MeshError('INVALID_ARGUMENT', `${setting}: "${text}" is not a number of seconds`);
}

/** Addresses and Services (`NAMESPACE/NAME`), separated by commas. */
export const parseClusterDns = (text: string): readonly EgressTarget[] =>
  text
    .split(',')
    .filter((part) => part !== '')
    .map(parseDnsServer);

function parseDnsServer(text: string): EgressTarget {
  const ip = tryParseIp(text);
  if (ip !== undefined) {
    return { type: 'cidr', prefix: { base: ip, length: isIpv4(ip) ? 32 : 128 }, except: [] };
  }
  const [, namespace, name] = /^([a-z0-9-]{1,63})\/([a-z0-9-]{1,63})$/.exec(text) ?? [];
  if (namespace !== undefined && name !== undefined)
    return { type: 'service', service: serviceKey(namespace, name) };
  throw new MeshError(
    'INVALID_ARGUMENT',
    `--cluster-dns: "${text}" is neither an address nor NAMESPACE/NAME of a Service`,
    { hint: 'such as kube-system/kube-dns,169.254.20.10' },
  );
}

/** `10.0.0.1:15012`, `[::1]:15012`, or a DNS name and a port. */
export function parseHostPort(text: string, setting: string): string {
  const [, name] = /^([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?):\d{1,5}$/i.exec(text) ?? [];
  // What looks like an address has to be one: a name never ends in a number (RFC 1123 §2.1).
  if (name !== undefined && !/(^|\.)\d+$/.test(name)) return text;
  try {
    return formatSocketAddress(parseSocketAddress(text));
  } catch {
    throw new MeshError('INVALID_ARGUMENT', `${setting}: "${text}" is not HOST:PORT`, {
      hint: 'such as 10.0.0.1:15012 or mesh-ebpf-controller.mesh-ebpf-system.svc:15012',
    });
  }
}
