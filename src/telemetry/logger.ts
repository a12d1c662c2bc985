/**
 * The process's logger: one JSON object a line on the given stream, secrets masked. Components get it as the `Logger` of
 * `src/base/log.ts`.
 */
import type { Logger } from '../base/log.ts';
import type { LogLevel } from './admin-api.ts';
import { maskSecrets, maskText } from './mask-secrets.ts';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Fields of every line, such as the node's name. */
  readonly base: Readonly<Record<string, string>>;
  readonly destination: { write(line: string): unknown };
}

/** A logger whose level can be changed while the process runs, for its children too. */
export interface RootLogger extends Logger {
  setLevel(level: LogLevel): void;
}

type Fields = Readonly<Record<string, unknown>>;

export function createLogger({ level, base, destination }: LoggerOptions): RootLogger {
  let threshold = rank[level];
  const write = (of: LogLevel, bound: Fields, fields: Fields, message: string): void => {
    if (threshold > rank[of]) return;
    const time = new Date().toISOString();
    const line = { level: of, time, ...bound, ...maskSecrets(fields), msg: maskText(message) };
    destination.write(`${JSON.stringify(line)}\n`);
  };
  const wrap = (bound: Fields): Logger => ({
    isLevelEnabled: (wanted) => threshold <= rank[wanted],
    debug: (fields, message) => write('debug', bound, fields, message),
    info: (fields, message) => write('info', bound, fields, message),
    warn: (fields, message) => write('warn', bound, fields, message),
    error: (fields, message) => write('error', bound, fields, message),
    child: (fields) => wrap({ ...bound, ...maskSecrets(fields) }),
  });
  return { ...wrap(base), setLevel: (next) => void (threshold = rank[next]) };
}

const rank = { debug: 0, info: 1, warn: 2, error: 3 } as const satisfies Record<LogLevel, number>;
