/** A connection that was, found by what people copy from a list or a log, and told by both of its ends. Pure. */
import { MeshError } from '../../base/errors.ts';
import type { ConnectionsDocument } from '../../telemetry/admin-api.ts';
import type { ExplanationQuery } from '../../telemetry/explanation-types.ts';
import type { ConnectionRow } from '../connection-columns.ts';
import { joinSides } from '../join-sides.ts';

/** `c-81f2`, `node-a/c-81f2`, `connection/node-a/c-81f2`, a trace id; each may be cut short. */
export interface ConnectionReference {
  readonly id: string;
  /** Ids of connections are of a node. */
  readonly node: string | undefined;
}

/** @throws MeshError INVALID_ARGUMENT */
export function parseConnectionReference(text: string): ConnectionReference {
  const parts = text.split('/');
  if (parts.length > 1 && parts[0] === 'connection') parts.shift();
  const [id = '', node] = parts.toReversed();
  const isNamed = node === undefined || /^[a-z0-9][a-z0-9.-]{0,252}$/.test(node);
  if (parts.length > 2 || !isNamed || !/^[0-9a-z-]{1,64}$/.test(id)) {
    throw new MeshError('INVALID_ARGUMENT', `"${text.slice(0, 200)}" is no id of a connection`, {
      hint: 'give one as "mesh-ebpf connections -o name" prints them, or a trace id of -o wide',
    });
  }
  return { id, node };
}

export interface Recorded {
  /** By the source's ztunnel, or by its kernel. */
  readonly outbound: ConnectionRow | undefined;
  readonly inbound: ConnectionRow | undefined;
}

export const rowsIn = (documents: readonly ConnectionsDocument[]): readonly ConnectionRow[] =>
  documents.flatMap(({ node, live, recent }) =>
    [...recent, ...live].map((item): ConnectionRow => ({ node, ...item })),
  );

/** More than that are not listed where a name is ambiguous. */
const shownCandidates = 8;

/**
 * The rows of the one connection that is meant.
 * @throws MeshError NOT_FOUND; INVALID_ARGUMENT with the candidates when there are several
 */
export function theOne(
  rows: readonly ConnectionRow[],
  { id, node }: ConnectionReference,
): readonly ConnectionRow[] {
  const there = rows.filter((row) => node === undefined || row.node === node || row.traceId === id);
  const exact = there.filter((row) => row.id === id || row.traceId === id);
  const found = exact.length > 0 ? exact : there;
  const connections = [...Map.groupBy(found, (row) => row.traceId ?? `${row.node}/${row.id}`).values()];
  const [only, ...others] = connections;
  if (only === undefined) {
    throw new MeshError('NOT_FOUND', `no node knows a connection "${id}"`, {
      hint: 'nodes keep the last of each pod; see: mesh-ebpf connections -o wide',
    });
  }
  if (others.length === 0) return only;
  const names = connections.flatMap(([row]) =>
    row === undefined
      ? []
      : `${row.node}/${row.id} (${row.source.workload ?? row.source.address} -> ${row.originalDestination})`,
  );
  const more = names.length > shownCandidates ? ` and ${names.length - shownCandidates} more` : '';
  throw new MeshError('INVALID_ARGUMENT', `"${id}" is ${connections.length} connections`, {
    hint: `one of ${names.slice(0, shownCandidates).join(', ')}${more}`,
  });
}

/** Of several endpoints that were tried the last one counted. */
export const endsOf = (rows: readonly ConnectionRow[]): Recorded => ({
  outbound: rows.findLast(({ direction }) => direction === 'outbound'),
  inbound: rows.findLast(({ direction }) => direction === 'inbound'),
});

/** Both ends as one line, with the outcome of whoever knows more. */
export function told({ outbound, inbound }: Recorded): ConnectionRow {
  const [row] = joinSides([outbound, inbound].filter((side) => side !== undefined));
  if (row === undefined) throw new MeshError('INTERNAL', 'a connection that nobody tells of');
  return row;
}

/**
 * What to ask to hear what would become of it now: the same pods, at the endpoint it was at. The second question is for
 * when the source is no more: somebody with its identity, at its address.
 */
export function questionsAbout(recorded: Recorded): readonly [ExplanationQuery, ExplanationQuery] {
  const row = told(recorded);
  const { source, transport } = row;
  const { inbound } = recorded;
  const reached = inbound?.destination.address ?? row.originalDestination;
  const to = transport === 'udp' ? `${reached}/udp` : reached;
  const ip = source.address.slice(0, source.address.lastIndexOf(':')).replaceAll(/[[\]]/g, '');
  const identity = inbound?.source.identity ?? (row.path === 'direct' ? null : source.identity);
  const somebody = identity === null ? ip : `${identity}@${ip}`;
  return [
    { from: source.workload === null ? somebody : `pod/${source.workload}`, to },
    { from: somebody, to },
  ];
}
