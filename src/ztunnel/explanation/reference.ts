/** How people name the two ends of a connection: parsed here, looked up in `parties.ts`. Pure. */
import { MeshError } from '../../base/errors.ts';
import { type IpAddress, type Port, parseIp, parsePort, tryParseIp } from '../../base/ip.ts';
import type { Transport } from '../../model/access.ts';
import { parseSpiffeId, type SpiffeId } from '../../model/identity.ts';

/** `owner`: what a person deployed, such as a Deployment, by its kind if that is said. `any`: whatever has the name. */
export type NameKind = 'pod' | 'service' | 'owner' | 'any';

export type Reference =
  | { readonly type: 'address'; readonly ip: IpAddress }
  /** Any pod of the mesh that proves it. */
  | { readonly type: 'identity'; readonly identity: SpiffeId; readonly ip: IpAddress | undefined }
  | { readonly type: 'account'; readonly namespace: string; readonly name: string; readonly ip?: IpAddress }
  | {
      readonly type: 'name';
      readonly kind: NameKind;
      /** Of an owner, if it is said. */
      readonly ownerKind?: string;
      readonly namespace: string;
      readonly name: string;
    };

export interface Aim {
  readonly at: Reference;
  readonly port: Port | undefined;
  readonly transport: Transport;
}

interface Kind {
  readonly kind: NameKind;
  readonly ownerKind?: string;
}

const podWords = ['pod', 'pods', 'po'];
const serviceWords = ['service', 'services', 'svc'];
const ownerWords: Readonly<Record<string, readonly string[]>> = {
  deployment: ['deployment', 'deployments', 'deploy'],
  statefulset: ['statefulset', 'statefulsets', 'sts'],
  daemonset: ['daemonset', 'daemonsets', 'ds'],
  replicaset: ['replicaset', 'replicasets', 'rs'],
  job: ['job', 'jobs'],
  cronjob: ['cronjob', 'cronjobs', 'cj'],
};

/** As kubectl spells kinds; undefined: it is none, but the name of a namespace. */
function kindSaid(word: string): Kind | undefined {
  if (podWords.includes(word)) return { kind: 'pod' };
  if (serviceWords.includes(word)) return { kind: 'service' };
  if (word === 'workload') return { kind: 'owner' };
  const ownerKind = Object.keys(ownerWords).find((kind) => ownerWords[kind]?.includes(word) === true);
  return ownerKind === undefined ? undefined : { kind: 'owner', ownerKind };
}

const spellings =
  'NAMESPACE/NAME, NAME.NAMESPACE, pod/NAMESPACE/NAME, deploy/NAMESPACE/NAME, svc/NAMESPACE/NAME';

/** @param namespace of names without one. @throws MeshError INVALID_ARGUMENT */
export function parseReference(text: string, namespace: string | undefined): Reference {
  const ip = tryParseIp(text);
  if (ip !== undefined) return { type: 'address', ip };
  if (text.startsWith('spiffe://') || text.startsWith('sa/')) return proved(text, namespace);
  const [first = '', ...rest] = text.split('/');
  const said = kindSaid(first);
  if (rest.length === 0) return named({ kind: 'any' }, first, namespace);
  const path = said === undefined ? [first, ...rest] : rest;
  const [where, name, ...more] = path.length === 1 ? [undefined, path[0]] : path;
  if (name === undefined || name === '' || more.length > 0) throw notUnderstood(text);
  const kind = said ?? ({ kind: 'any' } as const);
  if (where === undefined) return named(kind, name, namespace);
  return { type: 'name', ...kind, namespace: checked(where), name: checked(name) };
}

/** `HOST`, `HOST:PORT`, `HOST:PORT/udp`. @throws MeshError INVALID_ARGUMENT */
export function parseAim(text: string, namespace: string | undefined): Aim {
  const [, body = '', transport = 'tcp'] = /^(.*?)(?:\/(tcp|udp))?$/i.exec(text) ?? [];
  const [, bracketed, host = bracketed ?? body, port] =
    /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(body) ?? [];
  return {
    at: parseReference(host, namespace),
    port: port === undefined ? undefined : parsePort(port),
    transport: transport.toLowerCase() === 'udp' ? 'udp' : 'tcp',
  };
}

/** `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/NAME`, `sa/NAMESPACE/NAME`; each may be followed by `@IP`. */
function proved(text: string, namespace: string | undefined): Reference {
  const [who = '', at, ...more] = text.split('@');
  if (more.length > 0) throw notUnderstood(text);
  const ip = at === undefined ? undefined : parseIp(at);
  if (who.startsWith('spiffe://')) return { type: 'identity', identity: parseSpiffeId(who), ip };
  const [, first = '', second] = who.split('/');
  const [where = inNamespace(first, namespace), name] =
    second === undefined ? [undefined, first] : [first, second];
  return {
    type: 'account',
    namespace: checked(where),
    name: checked(name),
    ...(ip === undefined ? {} : { ip }),
  };
}

/** `NAME`, or as DNS has it: `NAME.NAMESPACE`, `NAME.NAMESPACE.svc.CLUSTER-DOMAIN`. */
function named(kind: Kind, text: string, namespace: string | undefined): Reference {
  const [, service, where] = /^([^.]+)\.([^.]+)\.svc(?:\..+)?$/.exec(text) ?? [];
  if (service !== undefined && where !== undefined) {
    return { type: 'name', kind: 'service', namespace: checked(where), name: checked(service) };
  }
  const dot = text.lastIndexOf('.');
  const [name, last] =
    dot === -1 ? [text, inNamespace(text, namespace)] : [text.slice(0, dot), text.slice(dot + 1)];
  return { type: 'name', ...kind, namespace: checked(last), name: checked(name) };
}

function inNamespace(name: string, namespace: string | undefined): string {
  if (namespace !== undefined) return namespace;
  throw new MeshError('INVALID_ARGUMENT', `"${name}": in which namespace?`, {
    hint: `give ${spellings}, or -n NAMESPACE`,
  });
}

/** RFC 1123, as Kubernetes has names. */
function checked(name: string): string {
  if (/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) return name;
  throw notUnderstood(name);
}

const notUnderstood = (text: string): MeshError =>
  new MeshError(
    'INVALID_ARGUMENT',
    `"${text.slice(0, 300)}" names neither a pod nor a Service, an identity or an address`,
    {
      hint: `give ${spellings}, sa/NAMESPACE/NAME or an IP address`,
    },
  );
