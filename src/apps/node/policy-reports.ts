/** Who hears which policies this node enforces: every replica of the controller, found by its Service in the mesh model. */
import { PolicyReporter } from '../../agent/policy-reporter.ts';
import { type ErrorCode, errorCodes, MeshError } from '../../base/errors.ts';
import { formatSocketAddress } from '../../base/ip.ts';
import type { Progress } from '../../kube/api/api-source.ts';
import { policyFeeds } from '../../kube/api/feed.ts';
import type { SourceCondition } from '../../kube/source.ts';
import { serviceKey } from '../../model/mesh.ts';
import type { MeshReader, MeshView } from '../../model/view.ts';
import { PolicyReportServiceClient } from '../../rpc/generated/policy-report.ts';
import { hostOf, TokenChannel } from '../../rpc/token-channel.ts';
import type { Foundation } from './parts.ts';

export const policyKinds = policyFeeds.map(({ kind }) => kind);

/** Each replica by itself, whichever leads. An address that is no Service's is the only one. */
export function controllersAt(view: MeshView, caAddress: string): readonly string[] {
  const [name = '', namespace = ''] = hostOf(caAddress).split('.');
  const service = view.services.get(serviceKey(namespace, name));
  if (service === undefined) return [caAddress];
  const port = Number(/\d+$/.exec(caAddress)?.[0]);
  return service.endpoints
    .filter(({ serving }) => serving)
    .flatMap(({ address, ports }) =>
      [...ports].flatMap(([of, own]) =>
        Number(of) === port ? [formatSocketAddress({ ip: address, port: own })] : [],
      ),
    );
}

/**
 * @param progress undefined: the objects are nobody's, so nobody is told
 * @returns what keeps controllers from writing the status of policies, as of the moment of asking
 */
export function startPolicyReports(
  { config, clock, log, cleanup }: Foundation,
  progress: ((kinds: typeof policyKinds) => readonly Progress[]) | undefined,
  mesh: MeshReader,
): () => readonly SourceCondition[] {
  if (progress === undefined) return () => [];
  const ending = new AbortController();
  const reporter = new PolicyReporter({
    clock,
    log: log.child({ scope: 'policy-reports' }),
    progress: () => progress(policyKinds),
    controllers: () => controllersAt(mesh.view, config.caAddress),
    send: async (address, applied) => {
      const channel = new TokenChannel(
        {
          address,
          rootsFile: config.caRootFile,
          tokenFile: config.tokenFile,
          clusterId: config.mesh.clusterId,
          ...(address === config.caAddress ? {} : { serverName: hostOf(config.caAddress) }),
        },
        (...args) => new PolicyReportServiceClient(...args),
      );
      // Five thousand nodes would be as many idle connections.
      try {
        const report = { applied: new Map(applied) };
        return await channel.call((client) => client.report.bind(client), report, ending.signal);
      } finally {
        channel.close();
      }
    },
  });
  cleanup.defer(() => {
    reporter.stop();
    ending.abort();
  });
  const since = new Map<string, number>();
  return () =>
    reporter.troubles.map(({ code, message, hint }) => {
      const begun = since.get(message) ?? clock.now();
      since.clear();
      since.set(message, begun);
      return { subject: 'status of policies', error: errorOf(code, message, hint), since: begun };
    });
}

/** The controller may be of a newer version than this node. */
function errorOf(code: string, message: string, hint: string): MeshError {
  const known = Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'UNAVAILABLE';
  return new MeshError(known, message, hint === '' ? {} : { hint });
}
