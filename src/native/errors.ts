/**
 * From the native addon's one error shape to the project's `MeshError`. The addon says what the kernel said; here
 * it gets a code and a sentence about what to do. Callers give the code for the failures that have no better one.
 */
import { asMeshError, MeshError, type ErrorCode } from '../base/errors.ts';

/** What every function of the addon throws or rejects with. `errno` is 0 when an argument was wrong. */
export interface NativeError extends Error {
  readonly name: 'NativeError';
  /** `ENOENT`, …; `ERR_ARGUMENT` when an argument was wrong. */
  readonly code: string;
  readonly errno: number;
  /** The system call, libbpf function or addon function that failed. */
  readonly syscall: string;
  readonly hint: string | null;
}

/** By shape, not by class: the addon may come from another realm (worker threads, test runners). */
export function isNativeError(thrown: unknown): thrown is NativeError {
  return (
    typeof thrown === 'object' &&
    thrown !== null &&
    'name' in thrown &&
    thrown.name === 'NativeError' &&
    'code' in thrown &&
    typeof thrown.code === 'string' &&
    'syscall' in thrown &&
    typeof thrown.syscall === 'string'
  );
}

interface Meaning {
  readonly code?: ErrorCode;
  readonly hint?: string;
}

const permission: Meaning = {
  code: 'PERMISSION',
  hint: 'run as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON and, before Linux 5.11, CAP_SYS_RESOURCE',
};
const full: Meaning = {
  code: 'BPF_MAP_FULL',
  hint: 'give it more room: mesh-ebpf node --max-pods, --max-destinations, --max-flows, --max-egress',
};
const unsupported: Meaning = { code: 'UNSUPPORTED', hint: 'run `mesh-ebpf doctor` to see what this kernel lacks' };
const outOfFiles: Meaning = {
  code: 'OVERLOADED',
  hint: 'raise the limit of open files (ulimit -n, LimitNOFILE=) of the process',
};

const meanings: Readonly<Record<string, Meaning>> = {
  EPERM: permission,
  ENOTSUPP: unsupported,
  EOPNOTSUPP: unsupported,
  ENOSYS: unsupported,
  EMFILE: outOfFiles,
  ENFILE: outOfFiles,
  ENOMEM: { code: 'OVERLOADED', hint: 'the kernel or the process is out of memory' },
  ENOENT: { code: 'NOT_FOUND' },
  ERR_ARGUMENT: { code: 'INTERNAL' },
};

/** Errors whose number means something special for the call that got it. */
function meaningOf(error: NativeError): Meaning {
  const isMapUpdate = error.syscall.startsWith('bpf(BPF_MAP_UPDATE_');
  if (isMapUpdate && (error.code === 'E2BIG' || error.code === 'ENOSPC')) return full;
  if (error.syscall === 'bind' && error.code === 'EACCES') return permission;
  if (error.syscall === 'bind' && error.code === 'EADDRINUSE') {
    return { code: 'ALREADY_EXISTS', hint: 'another process listens there: find it with `ss -ltnp`' };
  }
  return meanings[error.code] ?? {};
}

/**
 * Anything thrown around a call of the addon, as a MeshError: `code` is used unless the errno says more (EPERM,
 * a full map, a missing feature, ENOENT, …), `context` is what was being done ("pin the map policy").
 */
export function toMeshError(thrown: unknown, code: ErrorCode, context: string): MeshError {
  if (!isNativeError(thrown)) return asMeshError(thrown, code, context);
  const meaning = meaningOf(thrown);
  return new MeshError(meaning.code ?? code, `${context}: ${thrown.message}`, {
    cause: thrown,
    details: { errno: thrown.code, syscall: thrown.syscall },
    ...(meaning.hint === undefined ? {} : { hint: meaning.hint }),
  });
}
