/**
 * One pod for each Deployment, StatefulSet, DaemonSet, ReplicaSet, Job and CronJob in files: what their controllers would
 * make of them, as far as policies care. Pure.
 */
import { decode } from '../../kube/decode.ts';
import { kinds, type Pod, type SourcedObject } from '../../kube/objects.ts';
import type { ForeignObject } from '../../kube/parse-manifests.ts';
import { type FieldPath, formatField, type Problem } from '../../kube/problem.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Where each kind has its template. */
const templatePaths: Readonly<Record<string, readonly string[]>> = {
  Deployment: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
};

export const hasTemplate = ({ kind }: ForeignObject): boolean => Object.hasOwn(templatePaths, kind);

/** A pod named after its owner, or what is wrong with the template. */
export function podOf(owner: ForeignObject): SourcedObject<Pod> | { readonly problem: Problem } {
  const { value, position, kind } = owner;
  const template = fieldsAt(value, templatePaths[kind] ?? []);
  const metadata = fieldsAt(value, ['metadata']);
  const { name, namespace } = metadata;
  const { labels, annotations } = fieldsAt(template, ['metadata']);
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [{ apiVersion: 'apps/v1', kind, name, controller: true }],
    },
    spec: template['spec'],
  };
  // What the API server takes and nothing here reads is none of our business.
  const { value: decoded, faults } = decode(kinds.Pod.schema, pod, { strict: false });
  const [fault] = faults;
  if (fault === undefined) return { object: decoded as Pod, position };
  return {
    problem: {
      severity: 'error',
      object: { kind, namespace: textOr(namespace, 'default'), name: textOr(name, '') },
      position,
      field: formatField(writtenAt(kind, fault.path)),
      message: fault.message,
      hint: fault.hint,
    },
  };
}

/** Name and namespace are the owner's own, all else is the template's. */
const writtenAt = (kind: string, path: FieldPath): FieldPath =>
  path[0] === 'metadata' && (path[1] === 'name' || path[1] === 'namespace')
    ? path
    : [...(templatePaths[kind] ?? []), ...path];

const textOr = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise);

function fieldsAt(value: Fields, path: readonly string[]): Fields {
  let fields = value;
  for (const step of path) {
    const inner = fields[step];
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return {};
    fields = inner as Fields;
  }
  return fields;
}
