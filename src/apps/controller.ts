/** The controller program: the certificate authority, told by the mesh's objects which node may have which identity. */
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { Controller } from '../controller/controller.ts';
import { JoinTokens } from '../controller/join-tokens.ts';
import { MeshSource } from '../kube/mesh-source.ts';
import { YamlDirectory } from '../kube/yaml-directory.ts';
import { MeshStore } from '../model/store.ts';
import type { ControllerConfig } from './config/controller-config.ts';

/** Requests under way at a stop get this long. */
const stopMs = 2_000;

/** Runs until `stop` fires. @throws MeshError when it cannot start */
export async function runController(config: ControllerConfig, log: Logger, stop: AbortSignal): Promise<void> {
  const store = new MeshStore({ log }, config.mesh);
  const directory = new YamlDirectory({ clock: systemClock, log }, { path: config.objects });
  const source = new MeshSource({ source: directory, store, log }, config.mesh);
  await source.start();
  const { controller } = await Controller.start(
    { mesh: store, authenticator: new JoinTokens(config.tokensFile), clock: systemClock, log },
    {
      authority: {
        directory: config.caDir,
        trustDomain: config.mesh.trustDomain,
        leafLifetimeMs: config.certificateLifetimeMs,
      },
      listen: config.listen,
      serverNames: [config.listen.ip, 'localhost', ...config.serverNames],
      trustBundleFile: join(config.caDir, 'ca-root.pem'),
    },
  );
  await new Promise<void>((resolve) => {
    if (stop.aborted) resolve();
    stop.addEventListener('abort', () => resolve());
  });
  source.stop();
  await controller.stop(AbortSignal.timeout(stopMs));
}
