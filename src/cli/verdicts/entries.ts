/** Entries of the map `verdicts` as they are listed, and who is meant by a filter. Pure. */
import { type IpAddress, tryParseIp } from '../../base/ip.ts';
import { fitLabel } from '../../datapath/abi/layout.ts';
import type { Row } from '../../datapath/inspect/rows.ts';
import { parsePod, type PodReference } from '../usage.ts';

export interface VerdictEntry {
  /** `NAMESPACE/NAME`; empty: the pod is not enrolled any more. */
  readonly source: string;
  readonly sourceIp: string;
  readonly destination: string;
  readonly destinationIp: string;
  readonly port: number;
  /** Outdated: something changed since, and ztunnel is asked again. */
  readonly state: 'in force' | 'outdated';
}

/** @param row from a node, perhaps of another version */
export const verdictEntry = (row: Row): VerdictEntry => ({
  source: String(row['source'] ?? ''),
  sourceIp: String(row['sourceIp'] ?? ''),
  destination: String(row['destination'] ?? ''),
  destinationIp: String(row['destinationIp'] ?? ''),
  port: Number(row['port'] ?? 0),
  state: row['state'] === 'in force' ? 'in force' : 'outdated',
});

/** What makes it one entry of its node. */
export const entryKey = ({ source, sourceIp, destination, destinationIp, port }: VerdictEntry): string =>
  [source, destination, port, sourceIp, destinationIp].join(' ');

/** A pod, by name or by address. */
export type End = { readonly ip: IpAddress } | PodReference;

/** @throws InvalidArgumentError */
export function parseEnd(text: string): End {
  const ip = tryParseIp(text);
  return ip === undefined ? parsePod(text) : { ip };
}

export interface EntryFilter {
  readonly source?: End;
  readonly destination?: End;
  /** Of either end; of names that are given without one, too. */
  readonly namespace?: string;
}

export const passes =
  ({ source, destination, namespace }: EntryFilter) =>
  (entry: VerdictEntry): boolean =>
    (source === undefined || isEnd(source, entry.source, entry.sourceIp)) &&
    (destination === undefined || isEnd(destination, entry.destination, entry.destinationIp)) &&
    (namespace === undefined ||
      [entry.source, entry.destination].some((pod) => pod.startsWith(`${namespace}/`)));

function isEnd(end: End, pod: string, ip: string): boolean {
  if ('ip' in end) return ip === end.ip;
  return end.namespace === undefined
    ? pod.slice(pod.indexOf('/') + 1) === end.name
    : // As the map has it: long names are cut there.
      pod === fitLabel(`${end.namespace}/${end.name}`);
}
