/**
 * The controller process: serves the certificate authority it is given and looks after it. Gets everything it needs
 * as values; reads no flags and no environment. Where state is kept, who may ask and how roots reach the nodes
 * differs between the lab's files and a cluster: `src/apps` decides.
 */
import type { Clock } from '../base/clock.ts';
import { asMeshError } from '../base/errors.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { CertificateAuthority } from './ca/authority.ts';
import { CaServer, type ListenAddress } from './ca-server.ts';
import { CaService } from './ca-service.ts';
import type { Authenticator, IssuancePolicy } from './caller.ts';
import type { ReportService } from './report-service.ts';
import { upkeepNeeds } from './upkeep.ts';

export interface ControllerDeps {
  readonly authority: CertificateAuthority;
  readonly authenticator: Authenticator;
  readonly policy: IssuancePolicy;
  /** Whether this process is the one that changes the authority; the others sign with what it made. */
  readonly leading: () => boolean;
  /** Called by the leader, often: lets everybody know the roots, and does what people asked for. */
  readonly publish: (authority: CertificateAuthority) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Hears how each request was answered: `issued`, or the refusal's status. */
  readonly answered?: (result: string) => void;
  /** Takes nodes' reports of what they run. */
  readonly reports?: Pick<ReportService, 'report'>;
  /** Hears of each step of upkeep that failed. */
  readonly upkeepFailed?: () => void;
}

export interface ControllerOptions {
  readonly listen: ListenAddress;
  /** DNS names and IP addresses by which nodes reach the server. */
  readonly serverNames: readonly string[];
  /** Milliseconds between two looks after the authority; default 30 s. */
  readonly upkeepMs?: number;
}

/** Soon enough after a rotation by command, too. */
const defaultUpkeepMs = 30_000;
const warnEveryMs = 86_400_000;

export class Controller {
  readonly authority: CertificateAuthority;
  readonly #deps: ControllerDeps;
  readonly #options: ControllerOptions;
  readonly #server: CaServer;
  /** By step of upkeep: what failed last time. */
  readonly #problems = new Map<string, string>();
  #renewServerAt = 0;
  #servedBundle = '';
  #warnedAt = 0;
  #cancelUpkeep: (() => void) | undefined;
  #stopped = false;

  private constructor(deps: ControllerDeps, options: ControllerOptions, server: CaServer) {
    this.authority = deps.authority;
    this.#deps = deps;
    this.#options = options;
    this.#server = server;
  }

  /** Begins to serve. @throws MeshError CA_STATE or UNAVAILABLE */
  static async start(
    deps: ControllerDeps,
    options: ControllerOptions,
  ): Promise<{ readonly controller: Controller; readonly address: SocketAddress }> {
    const { authority, log } = deps;
    if (deps.leading()) await renewIntermediate(deps);
    const server = new CaServer(
      { service: new CaService(deps), reports: deps.reports, log },
      await authority.issueServer(options.serverNames),
    );
    const controller = new Controller(deps, options, server);
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
    const { authority, clock, leading } = this.#deps;
    await this.#attempt('refresh', async () => await authority.refresh());
    if (leading()) await this.#attempt('lead', async () => await this.#lead());
    await this.#attempt('serve', async () => await this.#followRoots());
    const delay = this.#options.upkeepMs ?? defaultUpkeepMs;
    if (!this.#stopped) this.#cancelUpkeep = clock.after(delay, () => void this.#upkeep());
  }

  /** One step that cannot be done must not keep the others from it. A problem is logged once, not at every turn. */
  async #attempt(name: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
      if (this.#problems.delete(name))
        this.#deps.log.info({ step: name }, 'the authority is looked after again');
    } catch (thrown) {
      const { code, hint, message } = asMeshError(thrown);
      this.#deps.upkeepFailed?.();
      if (this.#problems.get(name) === message) return;
      this.#problems.set(name, message);
      this.#deps.log.error({ code, hint }, `the certificate authority could not be looked after: ${message}`);
    }
  }

  async #lead(): Promise<void> {
    const { authority, log, publish } = this.#deps;
    await renewIntermediate(this.#deps);
    const retired = await authority.dropRetired();
    if (retired > 0) log.info({ retired }, 'the old root is no longer trusted; its key is destroyed');
    this.#warnOfRoot();
    await publish(authority);
  }

  #warnOfRoot(): void {
    const now = this.#deps.clock.now();
    const { warning } = upkeepNeeds(this.authority.status(), now);
    if (warning === undefined || now - this.#warnedAt < warnEveryMs) return;
    this.#warnedAt = now;
    this.#deps.log.warn({}, warning);
  }

  /** A server certificate under the root in force, for every bundle that lets nodes verify it. */
  async #followRoots(): Promise<void> {
    const now = this.#deps.clock.now();
    const bundle = this.authority.trustBundle();
    if (now < this.#renewServerAt && bundle === this.#servedBundle) return;
    const certificate = await this.authority.issueServer(this.#options.serverNames);
    this.#server.setCertificate(certificate);
    this.#renewServerAt = now + (certificate.notAfter - now) / 2;
    this.#servedBundle = bundle;
  }
}

async function renewIntermediate({ authority, clock, log }: ControllerDeps): Promise<void> {
  if (!upkeepNeeds(authority.status(), clock.now()).intermediateDue) return;
  await authority.rotateIntermediate();
  log.info({}, 'intermediate certificate rotated');
}
