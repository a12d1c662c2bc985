/** Failures of the addon and of the file system around BPF, with what was being done. */
import type { ErrorCode } from '../base/errors.ts';
import { toMeshError } from '../native/errors.ts';

/** Runs `action`; what it throws becomes a MeshError that says what was being done. */
export function bpfCall<T>(code: ErrorCode, doing: string, action: () => T): T {
  try {
    return action();
  } catch (thrown) {
    throw toMeshError(thrown, code, doing);
  }
}

/** The action's result, or undefined if it failed because there is no such file. */
export function unlessMissing<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
}

const isMissing = (thrown: unknown): boolean =>
  typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === 'ENOENT';
