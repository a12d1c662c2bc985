/** A source whose objects are kept on disk as they are reported. Whoever made the keeper closes it. */
import type { ObjectSink, ObjectSource, SourceCondition, SourceStatus } from '../source.ts';
import type { SnapshotKeeper } from './snapshot-keeper.ts';

export class RecordedSource implements ObjectSource {
  readonly #source: ObjectSource;
  readonly #keeper: SnapshotKeeper;
  /** Why the last snapshot was not used, until the source is live: then nobody needs it. */
  readonly #unusable: SourceCondition | undefined;

  constructor(source: ObjectSource, keeper: SnapshotKeeper, unusable: SourceCondition | undefined) {
    this.#source = source;
    this.#keeper = keeper;
    this.#unusable = unusable;
  }

  start(sink: ObjectSink): Promise<void> {
    return this.#source.start({
      changed: (change) => {
        this.#keeper.record(change);
        sink.changed(change);
      },
      faulty: (problems) => sink.faulty(problems),
    });
  }

  status(): SourceStatus {
    const status = this.#source.status();
    const { failure } = this.#keeper;
    const conditions = [
      ...(failure === undefined ? [] : [{ subject: 'snapshot', ...failure }]),
      ...(this.#unusable === undefined || status.state === 'live' ? [] : [this.#unusable]),
    ];
    return { ...status, conditions: [...status.conditions, ...conditions] };
  }

  stop(): void {
    this.#source.stop();
  }
}
