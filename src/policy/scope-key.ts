/** Names a scope: equal where it is the same pods, whoever wrote it and in whatever order. */
import type { Scoped } from './applicable.ts';

export function scopeKey({ namespace, scope }: Pick<Scoped, 'namespace' | 'scope'>): string {
  switch (scope.type) {
    case 'mesh':
      return 'mesh';
    case 'namespace':
      return `namespace ${namespace}`;
    case 'selector':
      return `selector ${namespace} ${JSON.stringify(sorted(scope.labels))}`;
    case 'services':
      return `services ${namespace} ${scope.services.toSorted().join(' ')}`;
  }
}

const sorted = (labels: Readonly<Record<string, string>>): readonly (readonly [string, string])[] =>
  Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
