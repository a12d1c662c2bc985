/**
 * The addon under test: the one `make native` built, or the one `MESH_EBPF_TEST_ADDON` names (the sanitizer build,
 * see native/sanitize.sh).
 */
import { loadNative } from '../../../src/native/load.ts';

const chosen = process.env['MESH_EBPF_TEST_ADDON'];

export const addonPath =
  chosen ?? new URL('../../../native/build/Release/mesh_ebpf.node', import.meta.url).pathname;

/** Whether this is the sanitizer build, whose memory use says nothing. */
export const sanitized = chosen !== undefined;

export const native = loadNative([addonPath]);
