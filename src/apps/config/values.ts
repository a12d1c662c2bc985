/** Parsers of single settings. @throws MeshError INVALID_ARGUMENT naming the setting and what it takes. */
import { MeshError } from '../../base/errors.ts';
import { formatSocketAddress, parseSocketAddress } from '../../base/ip.ts';
import { type LogLevel, logLevels } from '../../telemetry/admin-api.ts';

export function parseLogLevel(text: string): LogLevel {
  const level = logLevels.find((known) => known === text);
  if (level !== undefined) return level;
  throw new MeshError('INVALID_ARGUMENT', `"${text}" is not a log level`, {
    hint: `one of ${logLevels.join(', ')}`,
  });
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
