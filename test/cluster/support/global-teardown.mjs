// After the last scenario: ends the cluster that the scenarios started. KEEP_CLUSTER=1 leaves it for a look around.
import { endOwnCluster } from './cluster-under-test.ts';

export default async function endCluster() {
  if (process.env.KEEP_CLUSTER !== '1')
    await endOwnCluster().catch((error) => {
      if (error.code !== 'ALREADY_EXISTS') throw error;
    });
}
