/** The single conditions of an AuthorizationPolicy rule: which of them L4 can check, and how their values are read. */
import { MeshError } from '../../base/errors.ts';
import { parsePort, parsePrefix } from '../../base/ip.ts';
import type { MeshConfig } from '../../model/mesh.ts';
import type { PolicyMatch } from '../../model/policy.ts';

/** Why a condition is not in force as it is written. */
export interface Obstacle {
  /** `l7`: nobody but a waypoint can check it. `unreadable`: a mistake in it. */
  readonly type: 'l7' | 'unreadable';
  readonly message: string;
}

export interface ReadField {
  /** The one condition, or none. */
  readonly match: PolicyMatch;
  /** Why there is none. */
  readonly obstacle: Obstacle | undefined;
}

const refuse = (type: Obstacle['type'], message: string): ReadField => ({
  match: {},
  obstacle: { type, message },
});

export function readField(
  name: string,
  values: unknown,
  { namespace }: { readonly namespace: string },
): ReadField {
  if (!isL4Field(name)) {
    return l7Fields.has(name)
      ? refuse('l7', 'an HTTP condition, which only a waypoint can check')
      : refuse('l7', 'a condition that this version of mesh-ebpf does not know');
  }
  if (!Array.isArray(values) || values.length === 0) return refuse('unreadable', 'the list is empty');
  try {
    const read = (values as readonly string[]).map((value) => readers[name](value, namespace));
    return { match: { [name]: read }, obstacle: undefined };
  } catch (error) {
    if (error instanceof MeshError) return refuse('unreadable', error.message);
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

/** A reader for each field of the model's match: throws MeshError for a value that is none. */
const readers: Readonly<Record<keyof PolicyMatch, Reader>> = {
  namespaces: text,
  notNamespaces: text,
  principals: text,
  notPrincipals: text,
  serviceAccounts: serviceAccount,
  notServiceAccounts: serviceAccount,
  trustDomains: text,
  notTrustDomains: text,
  ipBlocks: block,
  notIpBlocks: block,
  destinationIps: block,
  notDestinationIps: block,
  ports: port,
  notPorts: port,
};

const isL4Field = (name: string): name is keyof PolicyMatch => Object.hasOwn(readers, name);

/** `remoteIpBlocks` are from `X-Forwarded-For` or the PROXY protocol, which L4 does not read. */
const l7Fields: ReadonlySet<string> = new Set(
  ['hosts', 'methods', 'paths', 'requestPrincipals', 'remoteIpBlocks'].flatMap((name) => [
    name,
    `not${name.charAt(0).toUpperCase()}${name.slice(1)}`,
  ]),
);

interface WhenField {
  readonly positive: keyof PolicyMatch;
  readonly negative: keyof PolicyMatch;
}

/** Istio's condition keys (istio.io/latest/docs/reference/config/security/conditions) that L4 can check. */
const whenFields: ReadonlyMap<string, WhenField> = new Map<string, WhenField>([
  ['source.namespace', { positive: 'namespaces', negative: 'notNamespaces' }],
  ['source.principal', { positive: 'principals', negative: 'notPrincipals' }],
  ['source.ip', { positive: 'ipBlocks', negative: 'notIpBlocks' }],
  ['destination.ip', { positive: 'destinationIps', negative: 'notDestinationIps' }],
  ['destination.port', { positive: 'ports', negative: 'notPorts' }],
]);

export const whenField = (key: string): WhenField | undefined => whenFields.get(key);

/** Principals that are no mistake in form, yet can never be anybody's: the usual reason why a policy "does nothing". */
export function principalRemarks(name: string, values: unknown, config: MeshConfig): readonly string[] {
  if ((name !== 'principals' && name !== 'notPrincipals') || !Array.isArray(values)) return [];
  return (values as readonly string[]).flatMap((value) => {
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
