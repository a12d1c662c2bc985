/** Services as the node's rules and its DNS have them. */
import { describe, expect, it } from '@jest/globals';
import { decode, encode } from 'dns-packet';
import type { Answer, DecodedPacket, Packet, RecordType } from 'dns-packet';
import * as fc from 'fast-check';
import type { EndpointSlice, Service } from '../../../../src/kube/objects.ts';
import { parseIp } from '../../../../src/base/ip.ts';
import { answerDns } from '../../../../src/lab/plan/dns-answer.ts';
import { DnsZone } from '../../../../src/lab/plan/dns-zone.ts';
import { serviceRules } from '../../../../src/lab/plan/service-rules.ts';
import { serviceTable } from '../../../../src/lab/plan/service-table.ts';
import { labNode } from '../../../../src/lab/topology.ts';
import { service } from '../objects.ts';

type Conditions = NonNullable<EndpointSlice['endpoints'][number]['conditions']>;
const ready: Conditions = { ready: true, serving: true, terminating: false };
const ending: Conditions = { ready: false, serving: true, terminating: true };
const unready: Conditions = { ready: false, serving: false, terminating: false };

function slice(
  name: string,
  endpoints: Readonly<Record<string, Conditions>>,
  ports: EndpointSlice['ports'] = [{ port: 8080 }],
): EndpointSlice {
  const addresses = Object.keys(endpoints);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${addresses.join()}`,
      namespace: 'shop',
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: addresses[0]?.includes(':') === true ? 'IPv6' : 'IPv4',
    endpoints: Object.entries(endpoints).map(([ip, conditions]) => ({ addresses: [ip], conditions })),
    ports,
  };
}

const vips = { clusterIP: '10.96.1.0', clusterIPs: ['10.96.1.0', 'fd10:96::100'] };
const targets = (services: Service[], slices: EndpointSlice[]) =>
  serviceTable(services, slices)[0]?.ports.map((port) =>
    port.targets.map(({ ip, port: number }) => `${ip} ${number}`),
  );

describe('the targets of a Service', () => {
  it('are its ready endpoints on all nodes, at their own port', () => {
    const slices = [
      slice('web', { '10.244.1.2': ready, '10.244.1.3': unready }),
      slice('web', { '10.244.2.2': ready }, [{ port: 9090 }]),
    ];
    expect(targets([service('web', vips)], slices)).toEqual([['10.244.1.2 8080', '10.244.2.2 9090']]);
  });

  it('are those that end but still serve only when there is no ready one', () => {
    const both = [slice('web', { '10.244.1.2': ready, '10.244.1.3': ending })];
    const last = [slice('web', { '10.244.1.2': unready, '10.244.1.3': ending })];
    expect(targets([service('web', vips)], both)).toEqual([['10.244.1.2 8080']]);
    expect(targets([service('web', vips)], last)).toEqual([['10.244.1.3 8080']]);
  });

  it('are found by the port’s name and protocol', () => {
    const dns = service('web', {
      ...vips,
      ports: [
        { name: 'u', port: 53, protocol: 'UDP' },
        { name: 't', port: 53 },
      ],
    });
    const ports = [
      { name: 't', port: 1053 },
      { name: 'u', port: 2053, protocol: 'UDP' as const },
    ];
    expect(targets([dns], [slice('web', { '10.244.1.2': ready }, ports)])).toEqual([
      ['10.244.1.2 2053'],
      ['10.244.1.2 1053'],
    ]);
  });

  it('are none of another Service’s', () => {
    expect(targets([service('web', vips)], [slice('db', { '10.244.1.2': ready })])).toEqual([[]]);
  });
});

const rules = (services: Service[], slices: EndpointSlice[]): string =>
  serviceRules(serviceTable(services, slices), labNode(1));

describe('the node’s rules', () => {
  it('translate a cluster address to one of its targets at random, each family to its own', () => {
    const text = rules(
      [service('web', vips)],
      [slice('web', { '10.244.1.2': ready, '10.244.2.2': ready }), slice('web', { 'fd10:244:1::2': ready })],
    );
    expect(text).toContain(
      'dnat ip to numgen random mod 2 map { 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8080 }',
    );
    expect(text).toContain('dnat ip6 to numgen random mod 1 map { 0 : fd10:244:1::2 . 8080 }');
    expect(text).toContain('elements = { 10.96.1.0 . tcp . 80 : goto service-0 }');
    expect(text).toContain('elements = { fd10:96::100 . tcp . 80 : goto service-1 }');
  });

  it('know nothing of a Service without targets, so that it is refused', () => {
    const text = rules([service('web', vips)], []);
    expect(text).not.toContain('10.96.1.0');
    expect(text).toContain('reject with tcp reset');
  });

  it('never translate to an endpoint that is not ready', () => {
    expect(rules([service('web', vips)], [slice('web', { '10.244.1.2': unready })])).not.toContain(
      '10.244.1.2',
    );
  });

  it('rewrite the source only for a pod that reaches itself', () => {
    const text = rules([service('web', vips)], [slice('web', { '10.244.1.2': ready })]);
    expect(text).toContain('elements = { 10.244.1.2 . 10.244.1.2 }');
    expect(text).toContain('ct status dnat ip saddr . ip daddr @self4 snat ip to 10.10.0.1');
    expect(text).not.toContain('masquerade');
  });

  it('replace what was there in one transaction', () => {
    expect(rules([], []).split('\n').slice(0, 3)).toEqual([
      'table inet mesh-lab {}',
      'delete table inet mesh-lab',
      'table inet mesh-lab {',
    ]);
  });
});

const rcode = ({ flags = 0 }: DecodedPacket): number => flags & 0xf;

const data = ({ answers = [] }: DecodedPacket) =>
  answers.map((answer) => ('data' in answer ? answer.data : undefined));

describe('cluster DNS', () => {
  const web = service('web', { ...vips, ports: [{ name: 'http', port: 80 }] });
  const headless = service('db', { clusterIP: 'None', ports: [{ name: 'sql', port: 5432 }] });
  const zone = new DnsZone({
    domain: 'cluster.local',
    namespaces: ['shop', 'legacy'],
    services: serviceTable(
      [web, headless],
      [
        slice('db', { '10.244.1.2': ready, '10.244.2.3': unready }, [{ name: 'sql', port: 15432 }]),
        slice('db', { 'fd10:244:1::2': ready }, [{ name: 'sql', port: 15432 }]),
      ],
    ),
    pods: [{ namespace: 'shop', addresses: ['10.244.1.2', 'fd10:244:1::2'].map(parseIp) }],
  });

  function ask(
    name: string,
    type: RecordType = 'A',
    extra: Partial<Packet> = {},
    transport: 'udp' | 'tcp' = 'udp',
  ): DecodedPacket {
    const request = encode({ type: 'query', id: 7, flags: 0x0100, questions: [{ name, type }], ...extra });
    const response = answerDns(request, zone, { transport, random: () => 0 });
    return decode(Buffer.from(response ?? []));
  }

  it('gives a Service’s cluster addresses, whatever the case of letters', () => {
    expect(data(ask('web.shop.svc.cluster.local'))).toEqual(['10.96.1.0']);
    expect(data(ask('WEB.Shop.svc.CLUSTER.local', 'AAAA'))).toEqual(['fd10:96::100']);
    expect(ask('WEB.Shop.svc.CLUSTER.local').answers?.[0]?.name).toBe('WEB.Shop.svc.CLUSTER.local');
  });

  it('gives the ready pods of a headless Service, together and one by one', () => {
    expect(data(ask('db.shop.svc.cluster.local'))).toEqual(['10.244.1.2']);
    expect(data(ask('10-244-1-2.db.shop.svc.cluster.local'))).toEqual(['10.244.1.2']);
    expect(rcode(ask('10-244-2-3.db.shop.svc.cluster.local'))).toBe(3);
  });

  it('gives named ports as SRV, with the addresses of their targets', () => {
    const found = ask('_http._tcp.web.shop.svc.cluster.local', 'SRV');
    expect(data(found)).toEqual([
      { priority: 0, weight: 100, port: 80, target: 'web.shop.svc.cluster.local' },
    ]);
    expect(found.additionals).toMatchObject([{ data: '10.96.1.0' }, { data: 'fd10:96::100' }]);
    expect(data(ask('_sql._tcp.db.shop.svc.cluster.local', 'SRV'))).toMatchObject([
      { port: 15432, target: '10-244-1-2.db.shop.svc.cluster.local' },
      { port: 15432, target: 'fd10-244-1--2.db.shop.svc.cluster.local' },
    ]);
  });

  it('gives pods by address, those it knows', () => {
    expect(data(ask('10-244-1-2.shop.pod.cluster.local'))).toEqual(['10.244.1.2']);
    expect(rcode(ask('10-244-1-2.legacy.pod.cluster.local'))).toBe(3);
  });

  it.each([
    'nosuch.shop.svc.cluster.local',
    'web.nowhere.svc.cluster.local',
    'example.com',
    'x.web.shop.svc.cluster.local',
    '_http._udp.web.shop.svc.cluster.local',
    'nowhere.svc.cluster.local',
    'cluster.local.example',
  ])('says that %s does not exist', (name) => {
    const answer = ask(name);
    expect(rcode(answer)).toBe(3);
    expect(answer.authorities?.[0]?.type).toBe('SOA');
  });

  it.each([
    ['web.shop.svc.cluster.local', 'TXT'],
    ['10-244-1-2.db.shop.svc.cluster.local', 'AAAA'],
    ['_tcp.web.shop.svc.cluster.local', 'A'],
    ['shop.svc.cluster.local', 'A'],
    ['svc.cluster.local', 'A'],
    ['cluster.local', 'A'],
  ] as const)('says that %s exists but has no %s record', (name, type) => {
    const answer = ask(name, type);
    expect(rcode(answer)).toBe(0);
    expect(answer.answers).toEqual([]);
    expect(answer.authorities?.[0]?.type).toBe('SOA');
  });

  it('refuses what it does not do: other operations, several questions, other classes', () => {
    expect(rcode(ask('web.shop.svc.cluster.local', 'A', { flags: 2 << 11 }))).toBe(4);
    expect(rcode(ask('', 'A', { questions: [] }))).toBe(1);
    expect(
      rcode(ask('', 'A', { questions: [{ name: 'web.shop.svc.cluster.local', type: 'A', class: 'CH' }] })),
    ).toBe(5);
  });

  it('asks a client to come back over TCP when the answer is too long for its UDP', () => {
    const many = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`10.244.1.${i + 2}`, ready]));
    const large = new DnsZone({
      domain: 'cluster.local',
      namespaces: ['shop'],
      services: serviceTable([headless], [slice('db', many)]),
      pods: [],
    });
    const request = encode({ type: 'query', questions: [{ name: 'db.shop.svc.cluster.local', type: 'A' }] });
    const udp = decode(Buffer.from(answerDns(request, large, { transport: 'udp', random: () => 0 }) ?? []));
    const tcp = decode(Buffer.from(answerDns(request, large, { transport: 'tcp', random: () => 0 }) ?? []));
    expect([udp.flag_tc, udp.answers?.length]).toEqual([true, 0]);
    expect([tcp.flag_tc, tcp.answers?.length]).toEqual([false, 60]);
  });

  it('answers EDNS with EDNS', () => {
    const option: Answer = {
      type: 'OPT',
      name: '.',
      udpPayloadSize: 4096,
      extendedRcode: 0,
      ednsVersion: 0,
      flags: 0,
      flag_do: false,
      options: [],
    };
    const answer = ask('web.shop.svc.cluster.local', 'A', { additionals: [option] });
    expect(answer.additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 1232 }]);
  });

  it('answers neither garbage nor responses, and never throws', () => {
    const response = encode({
      type: 'response',
      questions: [{ name: 'web.shop.svc.cluster.local', type: 'A' }],
    });
    const options = { transport: 'udp', random: () => 0 } as const;
    expect(answerDns(response, zone, options)).toBeUndefined();
    expect(answerDns(new Uint8Array(3), zone, options)).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        answerDns(bytes, zone, options);
      }),
      { numRuns: 2000 },
    );
  });
});
