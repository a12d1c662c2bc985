/**
 * Who talked to whom, in sum: one entry for each source, pods of one owner, port and verdict, as the destination's node
 * saw it. Much longer a memory than that of single connections: `policy suggest` and `policy diff` read it. Bounded, and
 * apart for what a stranger can make many of: addresses in plaintext, and refusals.
 */
import type { IpAddress, Port } from '../../base/ip.ts';
import type { ConnectionRecord } from '../../model/connection.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Workload, WorkloadUid } from '../../model/mesh.ts';
import type { PolicyKey } from '../../model/policy.ts';
import { countOf } from '../outcome.ts';

/** `allowed`: with a proved identity. `plaintext`: allowed without one, known by address. `denied`: either. */
export const pairKinds = ['allowed', 'plaintext', 'denied'] as const;
export type PairKind = (typeof pairKinds)[number];

export interface Pair {
  readonly kind: PairKind;
  /** Proved; undefined for plaintext. */
  readonly identity: SpiffeId | undefined;
  /** Of the last connection; of plaintext, of all. */
  readonly sourceIp: IpAddress;
  /** Where the address was a pod's: `NAMESPACE/OWNER`, for people. */
  readonly sourceName: string | undefined;
  readonly namespace: string;
  readonly owner: Workload['owner'];
  /** The pod that the last connection went to. */
  readonly uid: WorkloadUid;
  readonly destinationIp: IpAddress;
  readonly port: Port;
  /** That decided; undefined where none did. */
  readonly policy: PolicyKey | undefined;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstSeen: number;
  readonly lastSeen: number;
}

export const pairLimits: Readonly<Record<PairKind, number>> = {
  allowed: 4096,
  plaintext: 1024,
  denied: 1024,
};

type Mutable = { -readonly [Name in keyof Pair]: Pair[Name] };

export class PairTable {
  /** The one seen longest ago first. */
  readonly #tables: Readonly<Record<PairKind, Map<string, Mutable>>> = {
    allowed: new Map(),
    plaintext: new Map(),
    denied: new Map(),
  };
  #changed = new Set<Mutable>();

  completed(record: ConnectionRecord): void {
    const { verdict, source, destination } = record;
    const { workload } = destination;
    const kind = kindOf(record);
    if (kind === undefined || verdict === undefined || workload === undefined) return;
    const { identity } = source;
    const { namespace, owner, uid } = workload;
    const { ip, port } = destination.address;
    const key = keyOf(identity ?? source.address.ip, namespace, owner, port, verdict.policy);
    const table = this.#tables[kind];
    const seenAt = record.openedAt + record.durationMs;
    const known = table.get(key);
    if (known === undefined) {
      const from = source.workload;
      this.#add(kind, key, {
        kind,
        identity,
        sourceIp: source.address.ip,
        sourceName: from === undefined ? undefined : `${from.namespace}/${from.owner.name}`,
        namespace,
        owner,
        uid,
        destinationIp: ip,
        port,
        policy: verdict.policy,
        count: countOf(record),
        firstSeen: record.openedAt,
        lastSeen: seenAt,
      });
      return;
    }
    known.count += countOf(record);
    known.lastSeen = seenAt;
    known.sourceIp = source.address.ip;
    known.uid = uid;
    known.destinationIp = ip;
    table.delete(key);
    table.set(key, known);
    this.#changed.add(known);
  }

  /** As it was written down. What is known already is newer. */
  restore(pair: Pair): void {
    const key = ownKeyOf(pair);
    this.#tables[pair.kind].delete(key);
    this.#add(pair.kind, key, { ...pair });
    this.#changed.clear();
  }

  all(): readonly Pair[] {
    return pairKinds.flatMap((kind) => [...this.#tables[kind].values()]);
  }

  /** Those that were seen since the last call. */
  takeChanged(): readonly Pair[] {
    const changed = [...this.#changed];
    this.#changed = new Set();
    return changed;
  }

  #add(kind: PairKind, key: string, pair: Mutable): void {
    const table = this.#tables[kind];
    table.set(key, pair);
    this.#changed.add(pair);
    if (table.size <= pairLimits[kind]) return;
    const [oldest] = table;
    if (oldest !== undefined) table.delete(oldest[0]);
    if (oldest !== undefined) this.#changed.delete(oldest[1]);
  }
}

const keyOf = (
  who: string,
  namespace: string,
  { kind, name }: Workload['owner'],
  port: Port,
  policy: PolicyKey | undefined,
): string => `${who} ${namespace} ${kind} ${name} ${port} ${policy ?? ''}`;

const ownKeyOf = ({ identity, sourceIp, namespace, owner, port, policy }: Pair): string =>
  keyOf(identity ?? sourceIp, namespace, owner, port, policy);

/** Equal for a pair and the records that count in it. */
export const pairKeyOf = (pair: Pair): string => `${pair.kind} ${ownKeyOf(pair)}`;

/** undefined: the record counts in none. */
export function recordPairKey(record: ConnectionRecord): string | undefined {
  const { verdict, source, destination } = record;
  const { workload, address } = destination;
  const kind = kindOf(record);
  if (kind === undefined || workload === undefined) return undefined;
  const who = source.identity ?? source.address.ip;
  return `${kind} ${keyOf(who, workload.namespace, workload.owner, address.port, verdict?.policy)}`;
}

/** What was never told to an application is no sign of who needs whom: a port that nobody serves, a probe of ports. */
function kindOf({ direction, verdict, source, error }: ConnectionRecord): PairKind | undefined {
  if (direction !== 'inbound' || verdict === undefined) return undefined;
  if (!verdict.allowed) return 'denied';
  if (error !== undefined && unserved.has(error.hop)) return undefined;
  return source.identity === undefined ? 'plaintext' : 'allowed';
}

/** Where a connection that was let in ends that no application took. */
const unserved: ReadonlySet<NonNullable<ConnectionRecord['error']>['hop']> = new Set(['dial', 'application']);
