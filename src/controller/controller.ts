/**
 * The controller process: the certificate authority, its server, and the upkeep of both. Gets everything it needs
 * as values; reads no flags and no environment.
 */
import type { Clock } from '../base/clock.ts';
import { asMeshError } from '../base/errors.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { MeshReader } from '../model/view.ts';
import { type AuthorityOptions, CertificateAuthority } from './ca/authority.ts';
import { CaServer, type ListenAddress } from './ca-server.ts';
import { CaService } from './ca-service.ts';
import type { Authenticator, IssuancePolicy } from './caller.ts';
import { MeshIssuancePolicy } from './mesh-issuance-policy.ts';
import { publishTrustBundle } from './trust-bundle.ts';
import { upkeepNeeds } from './upkeep.ts';

export interface ControllerDeps {
  /** Where pods are: decides which node may have which identity. */
  readonly mesh: Pick<MeshReader, 'view'>;
  readonly authenticator: Authenticator;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ControllerOptions {
  readonly authority: AuthorityOptions;
  readonly listen: ListenAddress;
  /** DNS names and IP addresses by which nodes reach the server. */
  readonly serverNames: readonly string[];
  /** Where to publish the roots for nodes of this file system. */
  readonly trustBundleFile?: string;
}

/** How often the authority is looked after: soon enough after a rotation by command, too. */
const upkeepMs = 30_000;
const warnEveryMs = 86_400_000;

export class Controller {
  readonly authority: CertificateAuthority;
  readonly #deps: ControllerDeps;
  readonly #options: ControllerOptions;
  readonly #server: CaServer;
  #renewServerAt = 0;
  #published = '';
  #warnedAt = 0;
  #cancelUpkeep: (() => void) | undefined;
  #stopped = false;

  private constructor(
    deps: ControllerDeps,
    options: ControllerOptions,
    authority: CertificateAuthority,
    server: CaServer,
  ) {
    this.authority = authority;
    this.#deps = deps;
    this.#options = options;
    this.#server = server;
  }

  /** Opens or makes the authority and begins to serve. @throws MeshError CA_STATE or UNAVAILABLE */
  static async start(
    deps: ControllerDeps,
    options: ControllerOptions,
  ): Promise<{ readonly controller: Controller; readonly address: SocketAddress }> {
    const { clock, log, authenticator, mesh } = deps;
    const authority = await CertificateAuthority.open(options.authority, clock);
    await renewIntermediate(authority, deps);
    const policy: IssuancePolicy = new MeshIssuancePolicy(mesh);
    const service = new CaService({ authority, authenticator, policy, clock, log });
    const server = new CaServer({ service, log }, await authority.issueServer(options.serverNames));
    const controller = new Controller(deps, options, authority, server);
    const address = await server.listen(options.listen);
    await controller.#upkeep();
    log.info({ address: `${address.ip}:${address.port}` }, 'certificate authority is serving');
    return { controller, address };
  }

  /** Requests under way may finish until the deadline fires. */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopped = true;
    this.#cancelUpkeep?.();
    await this.#server.close(deadline);
  }

  /** Renews what is near its end and tells nodes of new roots; what fails is logged and tried again. */
  async #upkeep(): Promise<void> {
    const { clock, log } = this.#deps;
    try {
      await renewIntermediate(this.authority, this.#deps);
      const retired = this.authority.dropRetired();
      if (retired > 0) log.info({ retired }, 'the old root is no longer trusted; its key is destroyed');
      this.#warnOfRoot();
      await this.#followRoots();
    } catch (thrown) {
      const { code, hint, message } = asMeshError(thrown);
      log.error({ code, hint }, `the certificate authority could not be looked after: ${message}`);
    }
    if (!this.#stopped) this.#cancelUpkeep = clock.after(upkeepMs, () => void this.#upkeep());
  }

  #warnOfRoot(): void {
    const now = this.#deps.clock.now();
    const { warning } = upkeepNeeds(this.authority.status(), now);
    if (warning === undefined || now - this.#warnedAt < warnEveryMs) return;
    this.#warnedAt = now;
    this.#deps.log.warn({}, warning);
  }

  /** A server certificate under the root in force, and the bundle that lets nodes verify it. */
  async #followRoots(): Promise<void> {
    const now = this.#deps.clock.now();
    const bundle = this.authority.trustBundle();
    const { serverNames, trustBundleFile } = this.#options;
    if (trustBundleFile !== undefined) publishTrustBundle(trustBundleFile, bundle);
    if (now < this.#renewServerAt && bundle === this.#published) return;
    const certificate = await this.authority.issueServer(serverNames);
    this.#server.setCertificate(certificate);
    this.#renewServerAt = now + (certificate.notAfter - now) / 2;
    this.#published = bundle;
  }
}

async function renewIntermediate(
  authority: CertificateAuthority,
  { clock, log }: Pick<ControllerDeps, 'clock' | 'log'>,
): Promise<void> {
  if (!upkeepNeeds(authority.status(), clock.now()).intermediateDue) return;
  await authority.rotateIntermediate();
  log.info({}, 'intermediate certificate rotated');
}
