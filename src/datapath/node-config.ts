/**
 * The one entry of the `config` map. Its delicate part is `captureUnknown`, which tells the programs that absence
 * from `destinations` means nothing: it is on whenever programs read a map that may be incomplete.
 */
import { abiVersion, type Config } from './abi/layout.ts';
import type { Installation } from './installation.ts';
import type { MapTable } from './map-table.ts';
import { mapSpecs } from './maps.ts';

export class NodeConfig {
  readonly #installation: Installation;
  readonly #table: MapTable<number, Config>;
  #captureUnknown: boolean;
  #current: Config;

  /**
   * Written at once. Who was in charge before from another cgroup (an upgraded pod's) may still be finishing its
   * connections: it stays part of the mesh until `endDraining`.
   * An installation that knows nothing of the mesh captures everything until it does.
   */
  constructor(installation: Installation, ztunnelCgroupId: bigint) {
    this.#installation = installation;
    this.#table = installation.table(mapSpecs.config);
    const inForce = this.#earlier();
    this.#captureUnknown = inForce?.flags.captureUnknown ?? true;
    this.#current = {
      nodeNetnsCookie: inForce?.nodeNetnsCookie ?? 0n,
      ztunnelCgroupId,
      drainedCgroupId: drainedCgroup(inForce, ztunnelCgroupId),
      flags: { captureUnknown: this.#captureUnknown },
      abi: abiVersion,
    };
    this.#table.set(0, this.#current);
  }

  /** Id of the cgroup in which a predecessor finishes its connections. */
  get drainedCgroup(): bigint | undefined {
    const { drainedCgroupId } = this.#current;
    return drainedCgroupId === 0n ? undefined : drainedCgroupId;
  }

  endDraining(): void {
    this.#write({ drainedCgroupId: 0n });
  }

  setNode(nodeNetnsCookie: bigint): void {
    this.#write({ nodeNetnsCookie });
  }

  /** Turning it off is kept back while earlier programs are in force: what is complete is not what they read. */
  setCaptureUnknown(on: boolean): void {
    this.#captureUnknown = on;
    if (on || this.#installation.live) this.#write({ flags: { captureUnknown: on } });
  }

  /** The links change one by one: meanwhile nothing is taken for unmeshed, by the old programs or the new ones. */
  switchOver(): void {
    this.#write({ flags: { captureUnknown: true } });
    this.#installation.switchOver();
    this.#write({ flags: { captureUnknown: this.#captureUnknown } });
  }

  #write(change: Partial<Config>): void {
    this.#current = { ...this.#current, ...change };
    this.#table.set(0, this.#current);
  }

  /** What programs in force go by, if they go by this map. */
  #earlier(): Config | undefined {
    const { staged, hasNewPolicyMaps } = this.#installation;
    const isRead = !this.#installation.isNew(mapSpecs.config.name) && (staged || !hasNewPolicyMaps);
    return isRead ? this.#table.get(0) : undefined;
  }
}

/** The one before; a restart in the same cgroup has the predecessor that it had. */
function drainedCgroup(inForce: Config | undefined, own: bigint): bigint {
  if (inForce === undefined) return 0n;
  return inForce.ztunnelCgroupId === own ? inForce.drainedCgroupId : inForce.ztunnelCgroupId;
}
