/**
 * Istio's PeerAuthentication → the model's. Pure. One that cannot be read requires mutual TLS on every port, when
 * there is no last good version of it.
 */
import { MeshError } from '../../base/errors.ts';
import { parsePort, type Port } from '../../base/ip.ts';
import type { MeshConfig } from '../../model/mesh.ts';
import { type MtlsMode, type PeerAuthentication, peerAuthenticationKey } from '../../model/policy.ts';
import type { PeerAuthenticationObject, SourcedObject } from '../objects.ts';
import type { Translated } from './last-good.ts';
import type { Remark } from './policy-rules.ts';
import { selectorScope } from './policy-target.ts';
import { remarkProblems } from './problem.ts';

type Mode = NonNullable<NonNullable<PeerAuthenticationObject['spec']>['mtls']>['mode'];

const modes: Readonly<Record<NonNullable<Mode>, MtlsMode | undefined>> = {
  UNSET: undefined,
  DISABLE: 'disable',
  PERMISSIVE: 'permissive',
  STRICT: 'strict',
};

const modeOf = (mode: Mode): MtlsMode | undefined => modes[mode ?? 'UNSET'];

export function translatePeerAuthentication(
  sourced: SourcedObject<PeerAuthenticationObject>,
  config: MeshConfig,
): Translated<PeerAuthentication> {
  const { metadata, spec = {} } = sourced.object;
  const { selector: _selector, mtls, portLevelMtls = {}, ...unknown } = spec;
  const strictest = strictestPeerAuthentication(sourced.object, config);
  const read = Object.entries(portLevelMtls).map(([port, { mode }]) => readPort(port, modeOf(mode)));
  const remarks = [
    ...read.flatMap(({ remark }) => (remark === undefined ? [] : [remark])),
    ...Object.keys(unknown).map((name) =>
      unreadable(`spec.${name}`, 'a field that this version of mesh-ebpf does not know'),
    ),
    ...scopeRemarks(strictest.scope, metadata.namespace === config.rootNamespace, read.length > 0),
    ...disableRemarks(modeOf(mtls?.mode), read),
  ];
  const valid = remarks.every(({ type }) => type !== 'unreadable');
  const policy = {
    ...strictest,
    mode: modeOf(mtls?.mode),
    ports: new Map(
      read.flatMap(({ port, mode }) =>
        port === undefined || mode === undefined ? [] : [[port, mode] as const],
      ),
    ),
  };
  return { value: valid ? policy : strictest, valid, problems: remarkProblems(sourced, remarks) };
}

export function strictestPeerAuthentication(
  object: PeerAuthenticationObject,
  config: MeshConfig,
): PeerAuthentication {
  const { namespace, name, creationTimestamp = '' } = object.metadata;
  return {
    key: peerAuthenticationKey(namespace, name),
    namespace,
    name,
    createdAt: creationTimestamp,
    scope: selectorScope(object, config),
    mode: 'strict',
    ports: new Map(),
  };
}

interface ReadPort {
  readonly port: Port | undefined;
  /** undefined inherits. */
  readonly mode: MtlsMode | undefined;
  readonly remark: Remark | undefined;
}

function readPort(text: string, mode: MtlsMode | undefined): ReadPort {
  try {
    return { port: parsePort(text), mode, remark: undefined };
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    const remark = unreadable(`spec.portLevelMtls["${text}"]`, error.message);
    return { port: undefined, mode, remark };
  }
}

const unreadable = (field: string, message: string): Remark => ({ type: 'unreadable', field, message });

function scopeRemarks(
  { type }: PeerAuthentication['scope'],
  isInRoot: boolean,
  hasPorts: boolean,
): readonly Remark[] {
  if (type !== 'selector') {
    return hasPorts ? [unreadable('spec.portLevelMtls', 'modes of ports need a selector')] : [];
  }
  const message = 'a selector in the root namespace selects nobody: put the policy into the pods’ namespace';
  return isInRoot ? [{ type: 'warning', field: 'spec.selector', message }] : [];
}

function disableRemarks(mode: MtlsMode | undefined, ports: readonly ReadPort[]): readonly Remark[] {
  const message = 'DISABLE cannot keep mutual TLS out: both are taken, as with PERMISSIVE';
  const fields = [
    ...(mode === 'disable' ? ['spec.mtls.mode'] : []),
    ...ports.flatMap((each) => (each.mode === 'disable' ? [`spec.portLevelMtls["${each.port}"].mode`] : [])),
  ];
  return fields.map((field) => ({ type: 'warning', field, message }));
}
