/**
 * The cluster's DNS zone as Kubernetes specifies it (DNS-Based Service Discovery 1.1.0): Services, headless Services,
 * their named ports, and pods by address. Pure: a name and a type in, records out. Names outside the zone do not exist.
 */
import { isIpv4 } from '../../base/ip.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { TablePort, TableService } from './service-table.ts';

/** What a name is: with records of some types, only a parent of names, or nothing. */
export type Lookup =
  | {
      readonly type: 'records';
      readonly addresses: readonly IpAddress[];
      readonly targets: readonly SrvTarget[];
    }
  | { readonly type: 'empty' }
  | { readonly type: 'unknown' };

export interface SrvTarget {
  readonly port: number;
  /** Without the final dot. */
  readonly host: string;
  readonly addresses: readonly IpAddress[];
}

export interface ZoneContent {
  readonly domain: string;
  readonly namespaces: Iterable<string>;
  readonly services: Iterable<TableService>;
  /** Each pod's addresses under its namespace. */
  readonly pods: Iterable<{ readonly namespace: string; readonly addresses: readonly IpAddress[] }>;
}

export class DnsZone {
  readonly domain: string;
  readonly #namespaces: ReadonlySet<string>;
  readonly #services: ReadonlyMap<string, TableService>;
  readonly #pods: ReadonlyMap<string, IpAddress>;

  constructor(content: ZoneContent) {
    this.domain = content.domain;
    this.#namespaces = new Set(content.namespaces);
    this.#services = new Map(
      [...content.services].map((service) => [`${service.name}.${service.namespace}`, service]),
    );
    this.#pods = new Map(
      [...content.pods].flatMap(({ namespace, addresses }) =>
        addresses.map((ip) => [`${dashed(ip)}.${namespace}`, ip] as const),
      ),
    );
  }

  /** `name` without the final dot, in any case of letters. */
  lookup(name: string): Lookup {
    const lower = name.toLowerCase();
    if (lower === this.domain) return { type: 'empty' };
    if (!lower.endsWith(`.${this.domain}`)) return { type: 'unknown' };
    const labels = lower.slice(0, -this.domain.length - 1).split('.');
    switch (labels.pop()) {
      case 'svc':
        return this.#service(labels);
      case 'pod':
        return this.#pod(labels);
      default:
        return { type: 'unknown' };
    }
  }

  /** Labels left of `svc`, the namespace last. */
  #service(labels: readonly string[]): Lookup {
    const namespace = labels.at(-1);
    if (namespace === undefined) return { type: 'empty' };
    const name = labels.at(-2);
    if (name === undefined) return this.#namespaces.has(namespace) ? { type: 'empty' } : { type: 'unknown' };
    const service = this.#services.get(`${name}.${namespace}`);
    return service === undefined ? { type: 'unknown' } : this.#inService(service, labels.slice(0, -2));
  }

  #inService(service: TableService, left: readonly string[]): Lookup {
    const [first, second, ...more] = left;
    if (first === undefined) return this.#wholeService(service);
    if (more.length > 0) return { type: 'unknown' };
    if (second === undefined) return first.startsWith('_') ? { type: 'empty' } : this.#member(service, first);
    return this.#namedPort(service, first, second);
  }

  #wholeService(service: TableService): Lookup {
    const targets = service.ports.flatMap((port) => this.#srv(service, port));
    return { type: 'records', addresses: addressesOf(service), targets };
  }

  /** One endpoint of a headless Service, by its address with dashes. */
  #member(service: TableService, label: string): Lookup {
    const ip = isHeadless(service)
      ? addressesOf(service).find((address) => dashed(address) === label)
      : undefined;
    return ip === undefined ? { type: 'unknown' } : { type: 'records', addresses: [ip], targets: [] };
  }

  #namedPort(service: TableService, port: string, protocol: string): Lookup {
    const targets = service.ports
      .filter(({ name, protocol: own }) => name !== '' && `_${name}` === port && `_${own}` === protocol)
      .flatMap((found) => this.#srv(service, found));
    return targets.length === 0 ? { type: 'unknown' } : { type: 'records', addresses: [], targets };
  }

  /** A Service is one target; a headless one has a target for each endpoint, at the port that endpoint serves. */
  #srv(service: TableService, port: TablePort): SrvTarget[] {
    const host = `${service.name}.${service.namespace}.svc.${this.domain}`;
    if (!isHeadless(service)) return [{ port: port.port, host, addresses: service.vips }];
    return port.targets.map((target) => ({
      port: target.port,
      host: `${dashed(target.ip)}.${host}`,
      addresses: [target.ip],
    }));
  }

  #pod(labels: readonly string[]): Lookup {
    if (labels.length === 0) return { type: 'empty' };
    if (labels.length === 1) {
      return this.#namespaces.has(labels[0] ?? '') ? { type: 'empty' } : { type: 'unknown' };
    }
    const ip = this.#pods.get(labels.join('.'));
    return ip === undefined ? { type: 'unknown' } : { type: 'records', addresses: [ip], targets: [] };
  }
}

const isHeadless = (service: TableService): boolean => service.vips.length === 0;

const addressesOf = (service: TableService): readonly IpAddress[] =>
  isHeadless(service) ? service.addresses : service.vips;

/** `10-244-1-2`, `fd10-244-1--2`. */
const dashed = (ip: IpAddress): string => (isIpv4(ip) ? ip.replaceAll('.', '-') : ip.replaceAll(':', '-'));
