/**
 * What the CNI plugin (`native/cni/`) and the agent say to each other: one JSON document each way on a unix socket. The
 * plugin passes on what the container runtime gave it and understands as little of it as it can; this is where it is
 * checked. Sources of the names: https://www.cni.dev/docs/spec/; Kubernetes' CRI runtimes for CNI_ARGS.
 */
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { MeshError } from '../../base/errors.ts';

const protocolVersion = 1;

const Text = Type.String({ maxLength: 4096 });

const RequestSchema = Type.Object({
  version: Type.Literal(protocolVersion),
  command: Type.Enum(['ADD', 'CHECK', 'DEL', 'GC']),
  containerId: Text,
  ifname: Text,
  /** Descriptor of the pod's network namespace in the plugin's process; -1: none. */
  netnsFd: Type.Integer({ minimum: -1, maximum: 0x7fff_ffff }),
  /** CNI_ARGS. */
  args: Text,
  /** The network configuration, with the results of the plugins before ours. */
  config: Type.Object({
    prevResult: Type.Optional(Type.Unknown()),
    'cni.dev/valid-attachments': Type.Optional(
      Type.Array(Type.Object({ containerID: Text, ifname: Type.Optional(Text) })),
    ),
  }),
});
export type CniRequest = Static<typeof RequestSchema>;

/** @throws MeshError INVALID_ARGUMENT naming what is wrong with it */
export function parseRequest(text: string): CniRequest {
  const document = parseJson(text);
  if (Value.Check(RequestSchema, document)) return document;
  const [first] = Value.Errors(RequestSchema, document);
  const where =
    first?.instancePath === undefined || first.instancePath === '' ? '' : ` at ${first.instancePath}`;
  throw new MeshError(
    'INVALID_ARGUMENT',
    `the CNI request is not understood${where}: ${first?.message ?? ''}`,
    {
      hint: 'are the CNI plugin and the node program of one version?',
    },
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MeshError('INVALID_ARGUMENT', 'the CNI request is not JSON', { cause });
  }
}

/** The pod a sandbox is made for. Not every runtime says its UID. */
export interface PodReference {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
}

/** @throws MeshError INVALID_ARGUMENT when CNI_ARGS names no pod */
export function podOf({ args }: Pick<CniRequest, 'args'>): PodReference {
  const values = new Map(
    args.split(';').map((pair) => [pair.split('=', 1)[0], pair.slice(pair.indexOf('=') + 1)]),
  );
  const [namespace, name] = [values.get('K8S_POD_NAMESPACE'), values.get('K8S_POD_NAME')];
  if (!namespace || !name) throw new MeshError('INVALID_ARGUMENT', `CNI_ARGS names no pod: "${args}"`);
  return { namespace, name, uid: values.get('K8S_POD_UID') || undefined };
}

/** Error codes of the CNI specification; from 100 on they are a plugin's own. */
const tryAgainLater = 11;
const invalidConfig = 7;

export interface CniError {
  readonly code: number;
  readonly msg: string;
  readonly details: string;
}

/** What goes back: success, or an error for the plugin to hand to the runtime. */
export type CniAnswer = { readonly ok: true } | { readonly error: CniError };

/** Nearly everything may be better the next time; a request that is wrong will not be. */
export function errorAnswer({ code, message, hint = '' }: MeshError): CniAnswer {
  const cniCode = code === 'INVALID_ARGUMENT' ? invalidConfig : tryAgainLater;
  return { error: { code: cniCode, msg: `mesh-ebpf: ${message} (${code})`, details: hint } };
}
