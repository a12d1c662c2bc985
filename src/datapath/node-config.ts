/**
 * The one entry of the `config` map. Its delicate part is `captureUnknown`, which tells the programs that absence
 * from `destinations` means nothing: it is on whenever programs read a map that may be incomplete.
 */
import { randomInt } from 'node:crypto';
import { abiVersion, type Config } from './abi/layout.ts';
import type { Carrier, Installation } from './installation.ts';
import type { FlowLimits } from './kernel-path/flow-shares.ts';
import type { MapTable } from './map-table.ts';
import { mapSpecs } from './maps.ts';

export interface NodeConfigOptions {
  readonly ztunnelCgroupId: bigint;
  /** Whether pods of this node may reach each other without ztunnel. */
  readonly kernelPath: boolean;
  /** And whether some of those connections are accelerated. */
  readonly accelerate: boolean;
  /** How many connections one pod may have there. */
  readonly flows: FlowLimits;
}

export class NodeConfig {
  readonly #installation: Installation;
  readonly #table: MapTable<number, Config>;
  #captureUnknown: boolean;
  #kernelPath: boolean;
  #current: Config;

  /**
   * Written at once. Who was in charge before from another cgroup (an upgraded pod's) may still be finishing its
   * connections: it stays part of the mesh until `endDraining`.
   * What was allowed before is asked again: the mesh may have changed while nobody followed it.
   * Numbers that must not come twice go on from those of another version, too.
   * An installation that knows nothing of the mesh captures everything until it does.
   */
  constructor(
    installation: Installation,
    { ztunnelCgroupId, kernelPath, accelerate, flows }: NodeConfigOptions,
  ) {
    this.#installation = installation;
    this.#table = installation.table(mapSpecs.config);
    const inForce = this.#inForce();
    const before = inForce ?? this.#before();
    this.#captureUnknown = inForce?.flags.captureUnknown ?? true;
    this.#kernelPath = kernelPath;
    this.#current = {
      nodeNetnsCookie: before?.nodeNetnsCookie ?? 0n,
      ztunnelCgroupId,
      drainedCgroupId: drainedCgroup(before, ztunnelCgroupId),
      flags: { captureUnknown: this.#captureUnknown, kernelPath, accelerate },
      abi: abiVersion,
      verdictGeneration: before === undefined ? anyGeneration() : before.verdictGeneration + 1n,
      lastPodId: before?.lastPodId ?? 0,
      flowShare: flows.share,
      flowLeast: flows.least,
      flowCommon: flows.common,
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

  get verdictGeneration(): bigint {
    return this.#current.verdictGeneration;
  }

  /** Whatever was allowed so far has to be asked again, from the moment this returns. @throws MeshError BPF_MAP */
  nextVerdictGeneration(): void {
    this.#write({ verdictGeneration: this.#current.verdictGeneration + 1n });
  }

  /** One that no pod ever had, and that none will have after it, whatever becomes of this process. */
  newPodId(atLeast: number): number {
    const lastPodId = Math.max(this.#current.lastPodId + 1, atLeast);
    this.#write({ lastPodId });
    return lastPodId;
  }

  setNode(nodeNetnsCookie: bigint): void {
    this.#write({ nodeNetnsCookie });
  }

  /** Turning it off is kept back while earlier programs are in force: what is complete is not what they read. */
  setCaptureUnknown(on: boolean): void {
    this.#captureUnknown = on;
    if (on || this.#installation.live) this.#writeFlags(on);
  }

  /** The links change one by one: meanwhile nothing is taken for unmeshed, by the old programs or the new ones. */
  switchOver(carrier?: Carrier): void {
    this.#writeFlags(true);
    this.#installation.switchOver(this.#withoutKernelPath(carrier));
    this.#writeFlags(this.#captureUnknown);
  }

  /**
   * As long as a connection may be noted by one version of the programs and recorded by the other, which then does not
   * find the note, none is left to the kernel path: captured without a record is refused, and not let through.
   */
  #withoutKernelPath(carrier: Carrier | undefined): Carrier | undefined {
    const set = (on: boolean): void => this.#write({ flags: { ...this.#current.flags, kernelPath: on } });
    return (
      carrier && {
        begin: () => {
          set(false);
          carrier.begin();
        },
        merge: () => {
          carrier.merge();
          set(this.#kernelPath);
        },
      }
    );
  }

  #writeFlags(captureUnknown: boolean): void {
    this.#write({ flags: { ...this.#current.flags, captureUnknown } });
  }

  #write(change: Partial<Config>): void {
    this.#current = { ...this.#current, ...change };
    this.#table.set(0, this.#current);
  }

  /** What programs in force go by, if they go by this map. */
  #inForce(): Config | undefined {
    const { staged, hasNewPolicyMaps } = this.#installation;
    const isRead = !this.#installation.isNew(mapSpecs.config.name) && (staged || !hasNewPolicyMaps);
    return isRead ? this.#table.get(0) : undefined;
  }

  /** What was in force: here, or in another version's map. */
  #before(): Config | undefined {
    const { earlier } = this.#installation;
    return this.#installation.isNew(mapSpecs.config.name) ? earlier?.config()?.get(0) : this.#table.get(0);
  }
}

/** A new map may stand beside verdicts of an old one. Leaves room for more changes than there will ever be. */
const anyGeneration = (): bigint => BigInt(randomInt(1, 2 ** 47)) << 16n;

/** The one before; a restart in the same cgroup has the predecessor that it had. */
function drainedCgroup(inForce: Config | undefined, own: bigint): bigint {
  if (inForce === undefined) return 0n;
  return inForce.ztunnelCgroupId === own ? inForce.drainedCgroupId : inForce.ztunnelCgroupId;
}
