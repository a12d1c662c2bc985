/** A node program as controllers know it: what it says of the policies it runs. Its own code, real gRPC and TLS. */
import { join } from 'node:path';
import type { Foundation } from '../../../src/apps/node/parts.ts';
import { startPolicyReports } from '../../../src/apps/node/policy-reports.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { formatSocketAddress, parsePort, type SocketAddress } from '../../../src/base/ip.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { SourceCondition } from '../../../src/kube/source.ts';
import { PolicyReportServiceClient } from '../../../src/rpc/generated/policy-report.ts';
import { TokenChannel } from '../../../src/rpc/token-channel.ts';
import { meshOf, service } from '../../support/mesh-builder.ts';

const serverName = 'mesh-ebpf-controller.mesh-ebpf-system.svc';

/** Roots and token are files in `directory`. @param node up to which version it runs everything; may change */
export function reportingNode(
  directory: string,
  controllers: readonly SocketAddress[],
  node: { version: string },
): { readonly conditions: () => readonly SourceCondition[]; readonly cleanup: AsyncDisposableStack } {
  const controller = service('mesh-ebpf-system/mesh-ebpf-controller', '10.96.0.9', '15012:15012', []);
  const endpoints = controllers.map(({ ip, port }) => ({
    address: ip,
    ports: new Map([[parsePort(15_012), port]]),
    ready: true,
    serving: true,
    terminating: false,
  }));
  const cleanup = new AsyncDisposableStack();
  const config = {
    caAddress: `${serverName}:15012`,
    caRootFile: join(directory, 'roots.pem'),
    tokenFile: join(directory, 'token'),
    mesh: meshOf({}).view.config,
  };
  const foundation = { config, clock: systemClock, log: silentLogger, cleanup } as unknown as Foundation;
  const progress = () => [
    { kind: 'AuthorizationPolicy' as const, version: node.version, revision: Number(node.version) },
  ];
  const mesh = meshOf({ services: [{ ...controller, endpoints }] });
  return { conditions: startPolicyReports(foundation, progress, mesh), cleanup };
}

/** One report. @throws MeshError */
export async function reportOnce(
  directory: string,
  controller: SocketAddress,
  version: string,
): Promise<void> {
  const channel = new TokenChannel(
    {
      address: formatSocketAddress(controller),
      rootsFile: join(directory, 'roots.pem'),
      tokenFile: join(directory, 'token'),
      serverName,
    },
    (...args) => new PolicyReportServiceClient(...args),
  );
  const report = { applied: new Map([['AuthorizationPolicy', version]]) };
  try {
    await channel.call((client) => client.report.bind(client), report, new AbortController().signal);
  } finally {
    channel.close();
  }
}
