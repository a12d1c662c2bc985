/** Where an authority's state is kept: a directory (`authority-directory.ts`), or a Secret (`kubernetes/`). */
import type { AuthorityState } from './authority-state.ts';

export interface StoredState {
  /** Differs for each change; means something to its store only. */
  readonly version: string;
  readonly state: AuthorityState;
}

export interface AuthorityStore {
  /** Completes "the certificate authority in …". */
  readonly place: string;
  /** The version in force as far as known here; undefined if there never was one. @throws MeshError CA_STATE */
  read(): StoredState | undefined;
  /** Learns what others wrote, where `read` does not do that by itself; a failure leaves what is known in force. */
  refresh(): Promise<void>;
  /**
   * Makes `state` the version after `previous` (undefined for the first), whole or not at all.
   * @throws MeshError ALREADY_EXISTS when another process was faster; CA_STATE when it cannot be kept.
   */
  write(previous: string | undefined, state: AuthorityState): Promise<void>;
}
