/** The controller program: the certificate authority, told by the mesh's objects which node may have which identity. */
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { CertificateAuthority } from '../controller/ca/authority.ts';
import { AuthorityDirectory } from '../controller/ca/authority-directory.ts';
import { Controller } from '../controller/controller.ts';
import { JoinTokens } from '../controller/join-tokens.ts';
import { MeshIssuancePolicy } from '../controller/mesh-issuance-policy.ts';
import { publishTrustBundle } from '../controller/trust-bundle.ts';
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
    {
      authority: await openAuthority(config),
      authenticator: new JoinTokens(config.tokensFile),
      policy: new MeshIssuancePolicy(store),
      leading: () => true,
      publish: async (authority) =>
        publishTrustBundle(join(config.caDir, 'ca-root.pem'), authority.trustBundle()),
      clock: systemClock,
      log,
    },
    { listen: config.listen, serverNames: [config.listen.ip, 'localhost', ...config.serverNames] },
  );
  await stopped(stop);
  source.stop();
  await controller.stop(AbortSignal.timeout(stopMs));
}

async function openAuthority({
  caDir,
  mesh: { trustDomain },
  certificateLifetimeMs,
}: ControllerConfig): Promise<CertificateAuthority> {
  const store = new AuthorityDirectory(caDir, trustDomain);
  return await CertificateAuthority.open(
    { store, trustDomain, leafLifetimeMs: certificateLifetimeMs },
    systemClock,
  );
}

async function stopped(stop: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (stop.aborted) resolve();
    stop.addEventListener('abort', () => resolve());
  });
}
