/** The `flows` map for those who look connections up in it: during a takeover, beside what the programs before have. */
import type { Flow, FlowKey } from '../abi/layout.ts';
import type { MapTable } from '../map-table.ts';
import type { Takeover } from './takeover.ts';

export type FlowRecords = Pick<MapTable<FlowKey, Flow>, 'get' | 'take' | 'delete' | 'entries' | 'deleteAll'>;

export function flowRecords(ours: FlowRecords, takeover: Takeover | undefined): FlowRecords {
  if (takeover === undefined) return ours;
  return {
    get: (key) => ours.get(key) ?? takeover.recordOf(key),
    take(key) {
      const earlier = takeover.recordOf(key);
      takeover.forget(key);
      return ours.take(key) ?? earlier;
    },
    delete(key) {
      takeover.forget(key);
      return ours.delete(key);
    },
    entries() {
      const own = ours.entries();
      const known = new Set(own.map(([, { socketCookie }]) => socketCookie));
      const more = takeover.records().filter(([, { socketCookie }]) => !known.has(socketCookie));
      return [...own, ...more.map(([key, flow]): [FlowKey, Flow] => [key, flow])];
    },
    deleteAll(keys) {
      keys.forEach((key) => takeover.forget(key));
      ours.deleteAll(keys);
    },
  };
}
