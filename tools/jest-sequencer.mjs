// The order of test files: the largest first, so that workers end together, and those of the cluster rung so that as few
// clusters as possible are started. Whoever needs a cluster of their own comes first; the last of them leaves it to all others.
import { statSync } from 'node:fs';

const ownClusters = ['lifecycle', 'mesh-dual-stack', 'mesh-install'].map(
  (name) => `/test/cluster/scenarios/machine/${name}.test.ts`,
);

/** Of files without a place of their own: behind all that have one. */
const placeOf = (path) => {
  const place = ownClusters.findIndex((end) => path.endsWith(end));
  return place < 0 ? ownClusters.length : place;
};

export default class Sequencer {
  sort(tests) {
    const sized = [...tests].map((test) => ({
      test,
      place: placeOf(test.path),
      size: statSync(test.path).size,
    }));
    return sized.toSorted((a, b) => a.place - b.place || b.size - a.size).map(({ test }) => test);
  }

  shard(tests, { shardIndex, shardCount }) {
    return [...tests].filter((_, i) => i % shardCount === shardIndex - 1);
  }

  /** For `--onlyFailures`, which needs a memory of the last run. */
  allFailedTests(tests) {
    return [...tests];
  }

  cacheResults() {}
}
