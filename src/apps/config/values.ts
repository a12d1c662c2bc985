/** Parsers of single settings. @throws MeshError INVALID_ARGUMENT naming the setting and what it takes. */
import { MeshError } from '../../base/errors.ts';
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
