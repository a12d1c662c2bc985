/** Counts what the API server forbids, by who lacks which verb on what: a permission that somebody took away. */
import { asMeshError, type MeshError } from '../base/errors.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import type { Metrics } from '../telemetry/metrics.ts';

export type NoteForbidden = (error: MeshError) => void;

/** Anything else than a missing permission is passed over. */
export const countForbidden =
  (metrics: Pick<Metrics, 'count'>): NoteForbidden =>
  ({ code, details }) => {
    const { verb, resource, account } = details;
    if (code !== 'API_FORBIDDEN' || verb === undefined) return;
    metrics.count('mesh_api_forbidden_total', {
      verb: String(verb),
      resource: String(resource),
      account: String(account),
    });
  };

/** The same client; `note` hears why a request failed. */
export const notingClient = (client: KubeClient, note: NoteForbidden): KubeClient => ({
  request: async (request) => {
    try {
      return await client.request(request);
    } catch (thrown) {
      note(asMeshError(thrown));
      throw thrown;
    }
  },
});
