/** What components need of a logger; pino satisfies it. Fields come first, the sentence last. */
type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  /** Asked before fields are gathered that cost something and that hardly anybody wants. */
  isLevelEnabled(level: 'debug'): boolean;
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  child(fields: LogFields): Logger;
}

/** A logger that drops everything: the default where a caller gives none. */
export const silentLogger: Logger = {
  isLevelEnabled: () => false,
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
