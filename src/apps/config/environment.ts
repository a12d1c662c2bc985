/** The process's environment, read once. */
import { delimiter } from 'node:path';

export interface Environment {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Directories of `PATH`. */
  readonly path: readonly string[];
}

export function readEnvironment(): Environment {
  const variables = { ...process.env };
  return { variables, path: (variables['PATH'] ?? '').split(delimiter).filter(Boolean) };
}
