/** Objects as the small API server keeps, chooses and sends them. */
import type { ServerResponse } from 'node:http';

export interface FakeObject {
  readonly metadata: Readonly<Record<string, unknown>> & {
    readonly name: string;
    readonly namespace?: string;
  };
  readonly [field: string]: unknown;
}

export const keyOf = ({ metadata }: Pick<FakeObject, 'metadata'>): string =>
  `${metadata.namespace ?? ''}/${metadata.name}`;

export const bookmarkAt = (version: number, annotations?: Readonly<Record<string, string>>): FakeObject => ({
  metadata: {
    name: '',
    resourceVersion: String(version),
    ...(annotations === undefined ? {} : { annotations }),
  },
});

export const seen = (object: FakeObject, metadataOnly: boolean): unknown =>
  metadataOnly
    ? { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata }
    : object;

/** Field selectors as the API server knows them for pods: `spec.nodeName`, `status.phase`, `status.podIP`; and `metadata.name`. */
export function matches(object: FakeObject, selector: string): boolean {
  const fieldAt = (path: string): string => {
    let value: unknown = object;
    for (const step of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[step];
    return typeof value === 'string' ? value : '';
  };
  return selector
    .split(',')
    .filter(Boolean)
    .every((term) => {
      const [, path = '', operator, wanted] = /^([^!=]+)(!?=)(.*)$/.exec(term) ?? [];
      return (fieldAt(path) === wanted) === (operator === '=');
    });
}

export function send(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

export const refuse = (response: ServerResponse, code: number, message: string): void =>
  send(response, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message }, code);
