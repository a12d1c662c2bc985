/** The single conditions of an AuthorizationPolicy rule: which of them L4 can check, and how their values are read. */
import { MeshError } from '../../base/errors.ts';
import { parsePort, parsePrefix } from '../../base/ip.ts';
import type { MeshConfig, PolicyRule } from '../../model/mesh.ts';

export interface ReadField {
  /** The one condition, or none. */
  readonly conditions: PolicyRule;
  /** Why there is none. */
  readonly fault: string | undefined;
}

const refuse = (fault: string): ReadField => ({ conditions: {}, fault });

export function readField(
  name: string,
  values: readonly string[],
  { namespace }: { readonly namespace: string },
): ReadField {
  if (!isL4Field(name)) return refuse('an HTTP condition, which only a waypoint can check');
  if (values.length === 0) return refuse('the list is empty');
  try {
    const read = values.map((value) => readers[name](value, namespace));
    return { conditions: { [name]: read }, fault: undefined };
  } catch (error) {
    if (error instanceof MeshError) return refuse(error.message);
    throw error;
  }
}

type Reader = (value: string, namespace: string) => unknown;

const text: Reader = (value) => value;

const port: Reader = (value) => parsePort(value);

const block: Reader = (value) => parsePrefix(value);

/** A bare name is a service account of the policy's own namespace. */
const serviceAccount: Reader = (value, namespace) => {
  if (!/^([a-z0-9.-]+\/)?[a-z0-9.-]+$/.test(value)) {
    throw new MeshError('INVALID_ARGUMENT', `"${value}" is not NAMESPACE/NAME of a service account`);
  }
  return value.includes('/') ? value : `${namespace}/${value}`;
};

/** A reader for each field of the model's rule: throws MeshError for a value that is none. */
const readers: Readonly<Record<keyof PolicyRule, Reader>> = {
  namespaces: text,
  notNamespaces: text,
  principals: text,
  notPrincipals: text,
  serviceAccounts: serviceAccount,
  notServiceAccounts: serviceAccount,
  ipBlocks: block,
  notIpBlocks: block,
  ports: port,
  notPorts: port,
};

const isL4Field = (name: string): name is keyof PolicyRule => Object.hasOwn(readers, name);

interface WhenField {
  readonly positive: keyof PolicyRule;
  readonly negative: keyof PolicyRule;
}

/** Istio's condition keys (istio.io/latest/docs/reference/config/security/conditions) that L4 can check. */
const whenFields: ReadonlyMap<string, WhenField> = new Map([
  ['source.namespace', { positive: 'namespaces', negative: 'notNamespaces' }],
  ['source.principal', { positive: 'principals', negative: 'notPrincipals' }],
  ['source.ip', { positive: 'ipBlocks', negative: 'notIpBlocks' }],
  ['destination.port', { positive: 'ports', negative: 'notPorts' }],
]);

export const whenField = (key: string): WhenField | undefined => whenFields.get(key);

/** Principals that are no mistake in form, yet can never be anybody's: the usual reason why a policy "does nothing". */
export function principalRemarks(
  name: string,
  values: readonly string[],
  config: MeshConfig,
): readonly string[] {
  if (name !== 'principals' && name !== 'notPrincipals') return [];
  return values.flatMap((value) => {
    const pattern = value.replace(/^spiffe:\/\//, '');
    if (pattern.startsWith('*') || (pattern.endsWith('*') && !pattern.includes('/'))) return [];
    const [trustDomain = ''] = pattern.split('/');
    if (!pattern.endsWith('*') && !/^[^/]+\/ns\/[^/]+\/sa\/[^/]+$/.test(pattern)) {
      return [`"${value}" is nobody's: a principal is ${config.trustDomain}/ns/NAMESPACE/sa/SERVICE-ACCOUNT`];
    }
    if (trustDomain === config.trustDomain) return [];
    return [`"${value}" is nobody's here: the mesh's trust domain is ${config.trustDomain}`];
  });
}
