/** Parsers of option values. They run before a command does anything; a bad value is a usage error (exit 2). */
import { InvalidArgumentError } from 'commander';

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `500ms`, `30s`, `10m`, `2h`, `1d`, or combined: `1h30m`. Milliseconds. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    throw new InvalidArgumentError('Give a duration such as 30s, 10m or 1h30m.');
  }
  return parts.reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (units[unit] ?? 0), 0);
}

/** `node-b=-10m`, added to those given before: by node, milliseconds. */
export function parseClockOffset(
  text: string,
  before: Readonly<Record<string, number>> = {},
): Readonly<Record<string, number>> {
  const [, node = '', sign, duration = ''] = /^([^=]*)=([+-]?)(.*)$/.exec(text) ?? [];
  const milliseconds = parseDuration(duration);
  return { ...before, [parseName(node)]: sign === '-' ? -milliseconds : milliseconds };
}

export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Give a whole number of 0 or more.');
  return Number(text);
}

/** A Kubernetes name (RFC 1123): what may be asked for by name at all. */
export function parseName(text: string): string {
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(text)) {
    throw new InvalidArgumentError('Names have lower-case letters, digits, dots and dashes.');
  }
  return text;
}

export interface PodReference {
  readonly namespace: string | undefined;
  readonly name: string;
}

/** `web-1`, `shop/web-1`, `pod/web-1`, `web-1.shop`: the spellings of kubectl and istioctl. */
export function parsePod(text: string): PodReference {
  const [first = '', second, ...rest] = text.split('/');
  if (rest.length > 0) throw new InvalidArgumentError('Give POD, NAMESPACE/POD or POD.NAMESPACE.');
  if (second !== undefined) {
    return { namespace: first === 'pod' ? undefined : parseName(first), name: parseName(second) };
  }
  const dot = first.lastIndexOf('.');
  if (dot === -1) return { namespace: undefined, name: parseName(first) };
  return { namespace: parseName(first.slice(dot + 1)), name: parseName(first.slice(0, dot)) };
}
