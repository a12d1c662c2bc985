/**
 * What is in force of an object that cannot be read and never could. It may have meant to refuse anything: of a kind
 * that restricts, that is its strictest reading; of other kinds nothing. One rule for the API and for files. Pure.
 */
import type { Kind, KubeObject } from './objects.ts';
import type { ObjectReference } from './problem.ts';
import { denyingSpec } from './resources/namespace-access.ts';

type Spec = Readonly<Record<string, unknown>>;

const strictest: Partial<Record<Kind, Spec>> = {
  AuthorizationPolicy: { action: 'DENY', rules: [{}] },
  PeerAuthentication: { mtls: { mode: 'STRICT' } },
  NamespaceAccess: denyingSpec,
};

/** The first that can be read: with the object's own selector and metadata, without the one, without both. */
export function strictestReading(
  { kind, namespace, name }: ObjectReference & { readonly kind: Kind },
  raw: Spec,
  read: (raw: Spec) => KubeObject | undefined,
): KubeObject | undefined {
  const spec = strictest[kind];
  if (spec === undefined) return undefined;
  const { selector } = (raw['spec'] ?? {}) as { readonly selector?: unknown };
  const bare = { apiVersion: raw['apiVersion'], kind, metadata: { namespace, name }, spec };
  const selected =
    selector === undefined || selector === null ? [] : [{ ...raw, spec: { ...spec, selector } }];
  for (const candidate of [...selected, { ...raw, spec }, bare]) {
    const object = read(candidate);
    if (object !== undefined) return object;
  }
  return undefined;
}
