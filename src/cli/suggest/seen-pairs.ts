/** What nodes say they have seen → what suggestions are made of. They may be of another version: what does not fit is left out. */
import { parsePort, tryParseIp } from '../../base/ip.ts';
import { parseSpiffeId } from '../../model/identity.ts';
import type { SeenPair } from '../../policy/suggest/suggest.ts';
import type { PairItem } from '../../telemetry/admin-api.ts';

export const seenPairs = (items: readonly PairItem[]): readonly SeenPair[] =>
  items.flatMap((item) => {
    try {
      return [seenPair(item)].flatMap((pair) => pair ?? []);
    } catch {
      return [];
    }
  });

/** @throws MeshError for an identity or port that is none */
function seenPair(item: PairItem): SeenPair | undefined {
  const sourceIp = tryParseIp(item.sourceIp);
  if (sourceIp === undefined) return undefined;
  return {
    allowed: item.allowed,
    identity: item.identity === null ? undefined : parseSpiffeId(item.identity),
    sourceIp,
    sourceName: item.sourceName ?? undefined,
    namespace: item.namespace,
    owner: item.owner,
    selection: item.labels === null ? undefined : { labels: item.labels, others: item.alsoSelected },
    port: parsePort(item.port),
    count: item.count,
    firstSeen: Date.parse(item.firstSeen),
    lastSeen: Date.parse(item.lastSeen),
  };
}
