/** A sink that holds what a source reported, and waits for what it is to report. */
import { type ObjectKey, objectKey, type SourcedObject } from '../../../src/kube/objects.ts';
import { formatProblem, type Problem } from '../../../src/kube/problem.ts';
import type { ObjectChange, ObjectSink } from '../../../src/kube/source.ts';

const deadlineMs = 20_000;

export class Mirror implements ObjectSink {
  readonly objects = new Map<ObjectKey, SourcedObject>();
  readonly changes: ObjectChange[] = [];
  problems: readonly string[] = [];
  /** Thrown at the next change. */
  breaks = false;

  /** `Namespace//shop`, sorted. */
  get keys(): readonly string[] {
    return [...this.objects.keys()].toSorted();
  }

  changed(change: ObjectChange): void {
    this.changes.push(change);
    if (this.breaks) {
      this.breaks = false;
      throw new Error('the sink broke');
    }
    change.deleted.forEach((key) => this.objects.delete(key));
    change.set.forEach((sourced) => this.objects.set(objectKey(sourced.object), sourced));
  }

  faulty(problems: readonly Problem[]): void {
    this.problems = problems.map(formatProblem);
  }

  label(key: string, label: string): string | undefined {
    return this.objects.get(key as ObjectKey)?.object.metadata.labels?.[label];
  }
}

/** @throws if it does not come true */
export async function until(condition: () => boolean, what: () => unknown = () => ''): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain: ${String(condition)}; ${JSON.stringify(what())}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
