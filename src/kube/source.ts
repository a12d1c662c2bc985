/**
 * Where objects come from: a directory of manifests, the Kubernetes API, a compact feed later. The rest of the node
 * sees only this. A source reports changes, not states: with 100 000 pods the cost of a change must not be theirs.
 */
import type { MeshError } from '../base/errors.ts';
import type { ObjectKey, SourcedObject } from './objects.ts';
import type { Problem } from './problem.ts';

/** What is different now. Applying one twice changes nothing; no key is both set and deleted. */
export interface ObjectChange {
  /** New objects, and new versions of known ones. */
  readonly set: readonly SourcedObject[];
  readonly deleted: readonly ObjectKey[];
}

export interface ObjectSink {
  /** The first call brings everything there is, however little that is; later ones what changed since. */
  changed(change: ObjectChange): void;
  /** All that is wrong with objects now; none, once all is mended. Faulty objects stay in their last good version. */
  faulty(problems: readonly Problem[]): void;
}

/** Something that keeps a source from being up to date, as opposed to a fault of one object. */
export interface SourceCondition {
  /** `pods`, `snapshot`. */
  readonly subject: string;
  readonly error: MeshError;
  /** When it began, in milliseconds since the epoch. */
  readonly since: number;
}

export interface SourceStatus {
  /** `directory /etc/mesh`, `kubernetes https://10.96.0.1:443`. */
  readonly name: string;
  /**
   * `starting`: nothing was reported yet. `live`: everything is followed. `stale`: what was reported stays in force,
   * but some of it may have changed since; the conditions say why.
   */
  readonly state: 'starting' | 'live' | 'stale';
  /** When the source was last heard, in milliseconds since the epoch. */
  readonly lastEventAt: number | undefined;
  readonly conditions: readonly SourceCondition[];
}

export interface ObjectSource {
  /**
   * Resolves when everything was reported once; changes are reported until `stop`. What throws in a sink is logged
   * and ends nothing.
   * @throws MeshError if there is nothing to read from and waiting would not help, or it is stopped before.
   */
  start(sink: ObjectSink): Promise<void>;
  status(): SourceStatus;
  /** Nothing is reported after it returns. */
  stop(): void;
}
