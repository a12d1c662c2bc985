/** All policies of the cluster and what their status shall say, as a source of objects and reports of nodes tell. No IO. */
import { type ObjectKey, objectKey } from '../../kube/objects.ts';
import type { ObjectChange, ObjectSink } from '../../kube/source.ts';
import type { MeshConfig } from '../../model/mesh.ts';
import {
  acceptance,
  isProgrammed,
  notAccepted,
  programmedType,
  programming,
  type Said,
  withConditions,
} from './conditions.ts';
import { type Generations, withGeneration } from './generations.ts';
import type { NodeProgress } from './node-progress.ts';
import { type Condition, conditionsOf, policyRecord, type PolicyRecord } from './record.ts';

/** What is to be written of one policy. */
export interface Wanted {
  readonly record: PolicyRecord;
  readonly conditions: readonly Condition[];
  /** What is said, without times: equal where the same is written again. */
  readonly text: string;
  /** Only how far the nodes are has changed, and they are not done: it will change again soon. */
  readonly isProgress: boolean;
}

export class PolicyBook implements ObjectSink {
  readonly #config: MeshConfig;
  readonly #progress: Pick<NodeProgress, 'of'>;
  readonly #changed: (key: ObjectKey) => void;
  readonly #records = new Map<ObjectKey, PolicyRecord>();
  readonly #generations = new Map<ObjectKey, Generations>();

  /** @param changed hears of each policy that is another one, or gone */
  constructor(config: MeshConfig, progress: Pick<NodeProgress, 'of'>, changed: (key: ObjectKey) => void) {
    this.#config = config;
    this.#progress = progress;
    this.#changed = changed;
  }

  get keys(): readonly ObjectKey[] {
    return [...this.#records.keys()];
  }

  has(key: ObjectKey): boolean {
    return this.#records.has(key);
  }

  changed({ set, deleted }: ObjectChange): void {
    for (const key of deleted) {
      this.#records.delete(key);
      this.#generations.delete(key);
      this.#changed(key);
    }
    for (const { object } of set) {
      const record = policyRecord(object, this.#config);
      if (record !== undefined) this.#put(objectKey(object), record);
    }
  }

  /** What has no readable metadata cannot be written to either. */
  faulty(): void {}

  /** The API server's answer to what was written: the watch will tell the same later. */
  written(key: ObjectKey, answer: { readonly metadata: { readonly resourceVersion?: string } }): void {
    const known = this.#records.get(key);
    const { resourceVersion } = answer.metadata;
    if (known === undefined || resourceVersion === undefined) return;
    this.#records.set(key, { ...known, resourceVersion, conditions: conditionsOf(answer) });
  }

  /** Undefined: its status says what it shall. @param now milliseconds since the epoch */
  wanted(key: ObjectKey, now: number): Wanted | undefined {
    const record = this.#records.get(key);
    if (record === undefined) return undefined;
    const said = this.#said(key, record);
    const conditions = withConditions(record, said, now);
    if (conditions === undefined) return undefined;
    const others = said.filter(({ type }) => type !== programmedType);
    const isOpen = said.some(({ type, status }) => type === programmedType && status !== 'True');
    const isProgress = isOpen && withConditions(record, others, now) === undefined && says(record);
    return { record, conditions, text: JSON.stringify([record.uid, record.generation, said]), isProgress };
  }

  /** Whether reports of nodes can still change what is to be said of it. */
  isOpen(key: ObjectKey): boolean {
    const record = this.#records.get(key);
    return record !== undefined && this.#said(key, record).some(({ reason }) => openReasons.has(reason));
  }

  #said(key: ObjectKey, record: PolicyRecord): readonly Said[] {
    const accepted = acceptance(record);
    if (accepted.status === 'False') return [accepted, notAccepted];
    const history = this.#generations.get(key);
    if (history === undefined || isProgrammed(record)) return [accepted];
    return [accepted, programming(record, history, this.#progress.of(record.kind))];
  }

  #put(key: ObjectKey, record: PolicyRecord): void {
    this.#generations.set(key, withGeneration(this.#generations.get(key), record));
    this.#records.set(key, record);
    this.#changed(key);
  }
}

const openReasons: ReadonlySet<string> = new Set(['Pending', 'Progressing']);

/** Something was said of this generation already. */
const says = ({ conditions, generation }: PolicyRecord): boolean =>
  conditions.some(
    ({ type, observedGeneration }) => type === programmedType && Number(observedGeneration) === generation,
  );
