/**
 * The process's logger: pino, one JSON object a line on the given stream, secrets masked. Components get it as the
 * `Logger` of `src/base/log.ts` and know nothing of pino.
 */
import { pino, type DestinationStream } from 'pino';
import type { Logger } from '../base/log.ts';
import type { LogLevel } from './admin-api.ts';
import { maskSecrets, maskText } from './mask-secrets.ts';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Fields of every line, such as the node's name. */
  readonly base: Readonly<Record<string, string>>;
  readonly destination: DestinationStream;
}

/** A logger whose level can be changed while the process runs, for its children too. */
export interface RootLogger extends Logger {
  setLevel(level: LogLevel): void;
}

export function createLogger({ level, base, destination }: LoggerOptions): RootLogger {
  let threshold = rank[level];
  const logger = pino(
    {
      level: 'debug',
      base,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: maskSecrets },
    },
    destination,
  );
  const wrap = (to: pino.Logger): Logger => ({
    isLevelEnabled: (wanted) => threshold <= rank[wanted],
    debug: (fields, message) => void (threshold <= rank.debug && to.debug(fields, maskText(message))),
    info: (fields, message) => void (threshold <= rank.info && to.info(fields, maskText(message))),
    warn: (fields, message) => void (threshold <= rank.warn && to.warn(fields, maskText(message))),
    error: (fields, message) => void (threshold <= rank.error && to.error(fields, maskText(message))),
    child: (fields) => wrap(to.child(maskSecrets(fields))),
  });
  return { ...wrap(logger), setLevel: (next) => void (threshold = rank[next]) };
}

const rank = { debug: 0, info: 1, warn: 2, error: 3 } as const satisfies Record<LogLevel, number>;
