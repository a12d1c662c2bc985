/** Keeps the node's nftables rules and DNS zone in step with the objects: what kube-proxy and CoreDNS do. */
import { parseIp } from '../../base/ip.ts';
import { DnsZone } from '../plan/dns-zone.ts';
import { objectsOfKind } from '../plan/objects.ts';
import type { Objects } from '../plan/objects.ts';
import { serviceRules } from '../plan/service-rules.ts';
import { serviceTable } from '../plan/service-table.ts';
import { run } from '../system/run.ts';
import { clusterDomain } from '../topology.ts';
import type { LabNode } from '../topology.ts';
import type { DnsServer } from './dns-server.ts';

export class ServiceProxy {
  readonly #node: LabNode;
  readonly #dns: DnsServer;
  /** The rules in force. */
  #rules = '';

  constructor(node: LabNode, dns: DnsServer) {
    this.#node = node;
    this.#dns = dns;
  }

  async update(objects: Objects): Promise<void> {
    const services = serviceTable(objectsOfKind(objects, 'Service'), objectsOfKind(objects, 'EndpointSlice'));
    this.#dns.setZone(
      new DnsZone({
        domain: clusterDomain,
        namespaces: objectsOfKind(objects, 'Namespace').map(({ metadata }) => metadata.name),
        services,
        pods: objectsOfKind(objects, 'Pod').map(({ metadata, status }) => ({
          namespace: metadata.namespace,
          addresses: (status?.podIPs ?? []).map(({ ip }) => parseIp(ip)),
        })),
      }),
    );
    const rules = serviceRules(services, this.#node);
    if (rules === this.#rules) return;
    await run(['nft', '-f', '-'], { input: rules });
    this.#rules = rules;
  }
}
