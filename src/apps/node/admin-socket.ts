/** The admin API of a node, at its place. */
import { join } from 'node:path';
import type { Fd } from '../../native/binding.ts';
import type { AdminApi } from '../../telemetry/admin-api.ts';
import { startAdminServer } from '../../telemetry/admin-server.ts';
import type { RunningServer } from '../../telemetry/http-server.ts';
import type { Foundation } from './parts.ts';

/** @throws MeshError ALREADY_EXISTS while another node program of this node serves it */
export function serveAdmin(
  { config, native, clock, log }: Pick<Foundation, 'config' | 'native' | 'clock' | 'log'>,
  api: AdminApi,
): Promise<RunningServer> {
  const identity = { node: config.nodeName, now: () => clock.now() };
  const peerCredentials = (fd: number) => native.peerCredentials(fd as Fd);
  return startAdminServer({ api, identity, log, peerCredentials }, join(config.runDir, 'admin.sock'));
}
