/**
 * Brings the `services` and `endpoints` maps to their wanted contents. What a Service's entry speaks of never changes
 * under it: a change writes endpoints of a new generation, then the entry that points to them, and only then removes the
 * old ones; so a connection meets the old choice or the new one, and none half of each. What does not fit, or fails, is
 * removed, entry first: without one, ztunnel chooses.
 */
import { MeshError } from '../../base/errors.ts';
import { formatSocketAddress, type IpAddress, type Port, type SocketAddress } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import type { MeshDiff, MeshView } from '../../model/view.ts';
import type { EndpointEntry, EndpointKey, ServiceAddress, ServiceEntry } from '../abi/service-layout.ts';
import type { KernelPathScope } from '../desired.ts';
import type { MapTable } from '../map-table.ts';
import {
  choicesAt,
  desiredChoices,
  type ServiceChoice,
  type ServiceChoices,
  touchedServices,
} from './desired.ts';
import { type AppliedChoice, endpointKeys, readChoices } from './read.ts';

type Table<K, V> = Pick<MapTable<K, V>, 'entries' | 'set' | 'setAll' | 'delete' | 'deleteAll'>;

export interface ServiceDeps {
  readonly services: Table<ServiceAddress, ServiceEntry>;
  readonly endpoints: Table<EndpointKey, EndpointEntry>;
  /** The highest that an entry of `sessions` bears. */
  readonly sessionGeneration: () => number;
  /** Undefined: nobody takes it, and the maps are empty. */
  readonly kernelPath: KernelPathScope | undefined;
  readonly log: Logger;
}

export class ServiceReconciler {
  readonly #deps: ServiceDeps;
  /** What the maps hold, by address and port. */
  #applied = new Map<IpAddress, Map<Port, AppliedChoice>>();
  /** None is given twice, by whichever node program; undefined: which there were is not known. */
  #generation: number | undefined;
  /** Addresses of which not everything fitted. */
  readonly #leftOut = new Set<IpAddress>();
  /** The maps may hold something else: to be read. */
  #unread = true;

  constructor(deps: ServiceDeps) {
    this.#deps = deps;
  }

  /** How many entries `services` has, known without asking the kernel. */
  get services(): number {
    return this.#all().length;
  }

  get endpoints(): number {
    return this.#all().reduce((sum, { choice }) => sum + choice.kernel.length, 0);
  }

  /** Addresses of Services for which there was no room. */
  get leftOut(): number {
    return this.#leftOut.size;
  }

  /** What the maps say there. */
  choiceAt({ ip, port }: SocketAddress): AppliedChoice | undefined {
    return this.#applied.get(ip)?.get(port);
  }

  /** With `diff`: looks after what it touches. Without: reads the maps and repairs them, which is right at start and now and then. */
  apply(view: MeshView, diff?: MeshDiff): void {
    const whole = diff === undefined || this.#unread || this.#moves(diff);
    // Until all is done: whatever stops it, the next time begins with what is there.
    this.#unread = true;
    if (whole) this.#read();
    const wanted = whole ? this.#everything(view) : this.#touched(view, diff);
    for (const [ip, choices] of wanted) this.#bring(ip, choices);
    this.#unread = false;
  }

  /** The node's zone is for all of its pods. */
  #moves({ nodes }: MeshDiff): boolean {
    return nodes.some(({ key }) => key === this.#deps.kernelPath?.node);
  }

  #everything(view: MeshView): ServiceChoices {
    const gone = [...this.#applied.keys()].map((ip) => [ip, [] as readonly ServiceChoice[]] as const);
    return new Map([...gone, ...desiredChoices(view, this.#deps.kernelPath)]);
  }

  #touched(view: MeshView, diff: MeshDiff): ServiceChoices {
    const touched = [...touchedServices(view, diff), ...this.#leftOut];
    return new Map(touched.map((ip) => [ip, choicesAt(view, ip, this.#deps.kernelPath)]));
  }

  #read(): void {
    const { services, endpoints } = this.#deps;
    const found = readChoices(services.entries(), endpoints.entries());
    // Those that speak of what is not there, then what nobody speaks of.
    services.deleteAll(found.broken);
    endpoints.deleteAll(found.orphans);
    this.#applied = new Map();
    for (const applied of found.choices) this.#note(applied);
    this.#generation = Math.max(this.#generation ?? this.#deps.sessionGeneration(), found.lastGeneration);
    this.#leftOut.clear();
  }

  #bring(ip: IpAddress, choices: readonly ServiceChoice[]): void {
    const wasLeftOut = this.#leftOut.delete(ip);
    const had = new Map(this.#applied.get(ip));
    for (const choice of choices) {
      const { port } = choice.dialled;
      const before = had.get(port);
      had.delete(port);
      if (before !== undefined && isSame(before.choice, choice)) continue;
      if (!this.#replace(before, choice)) this.#leaveOut(choice, wasLeftOut);
    }
    for (const gone of had.values()) this.#withdraw(gone);
  }

  /** False if there is no room. */
  #replace(before: AppliedChoice | undefined, choice: ServiceChoice): boolean {
    this.#generation = (this.#generation ?? 0) + 1;
    const applied = { choice, generation: this.#generation };
    try {
      this.#write(applied);
    } catch (thrown) {
      this.#withdraw(applied);
      if (before !== undefined) this.#withdraw(before);
      if (!(thrown instanceof MeshError && thrown.code === 'BPF_MAP_FULL')) throw thrown;
      // The old one's room may do.
      return before !== undefined && this.#replace(undefined, choice);
    }
    if (before !== undefined) this.#deps.endpoints.deleteAll(endpointKeys(before));
    this.#note(applied);
    return true;
  }

  #write({ choice, generation }: AppliedChoice): void {
    const { dialled, kernel, total, leaves, sessionMs = 0 } = choice;
    this.#deps.endpoints.setAll(
      endpointKeys({ choice, generation }).map((key, i) => [key, kernel[i] as SocketAddress]),
    );
    const entry = { generation, kernel: kernel.length, total, flags: { leaves }, sessionMs };
    this.#deps.services.set(dialled, entry);
  }

  #withdraw(applied: AppliedChoice): void {
    const { ip, port } = applied.choice.dialled;
    this.#deps.services.delete({ ip, port });
    this.#deps.endpoints.deleteAll(endpointKeys(applied));
    const ports = this.#applied.get(ip);
    ports?.delete(port);
    if (ports?.size === 0) this.#applied.delete(ip);
  }

  #note(applied: AppliedChoice): void {
    const { ip, port } = applied.choice.dialled;
    const ports = this.#applied.get(ip) ?? new Map<Port, AppliedChoice>();
    this.#applied.set(ip, ports.set(port, applied));
  }

  #leaveOut({ dialled, kernel }: ServiceChoice, known: boolean): void {
    this.#leftOut.add(dialled.ip);
    if (known) return;
    this.#deps.log.error(
      { code: 'BPF_MAP_FULL', service: formatSocketAddress(dialled), endpoints: kernel.length },
      'the services and endpoints maps are too small: connections to this Service go through ztunnel',
    );
  }

  #all(): readonly AppliedChoice[] {
    return [...this.#applied.values()].flatMap((ports) => [...ports.values()]);
  }
}

const isSame = (found: ServiceChoice, wanted: ServiceChoice): boolean =>
  found.total === wanted.total &&
  found.leaves === wanted.leaves &&
  found.sessionMs === wanted.sessionMs &&
  found.kernel.length === wanted.kernel.length &&
  found.kernel.every(({ ip, port }, i) => ip === wanted.kernel[i]?.ip && port === wanted.kernel[i]?.port);
