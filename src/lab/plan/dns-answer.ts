/**
 * One DNS request to its response (RFC 1035; EDNS: RFC 6891; negative answers with SOA: RFC 2308). Pure but for the
 * shuffling of addresses. What cannot be parsed gets no answer here: the caller drops it.
 */
import { decode, encode } from 'dns-packet';
import type { Answer, DecodedPacket, Packet, Question } from 'dns-packet';
import { isIpv4 } from '../../base/ip.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { DnsZone, Lookup, SrvTarget } from './dns-zone.ts';

/** Seconds; short, as endpoints of headless Services come and go. */
const ttl = 5;
const authoritativeAnswer = 0x0400;
const truncated = 0x0200;
const recursionDesired = 0x0100;
const noError = 0;
const formatError = 1;
const nameError = 3;
const notImplemented = 4;
const refused = 5;
const plainUdpBytes = 512;
const ednsUdpBytes = 1232;

export interface AnswerOptions {
  readonly transport: 'udp' | 'tcp';
  /** In [0, 1), to spread clients over addresses. */
  readonly random: () => number;
}

/** undefined for what is no request. */
export function answerDns(
  request: Uint8Array,
  zone: DnsZone,
  options: AnswerOptions,
): Uint8Array | undefined {
  const query = tryDecode(request);
  if (query === undefined || query.type !== 'query') return undefined;
  const response = encode(responseTo(query, zone, options));
  if (options.transport === 'tcp' || response.length <= udpLimit(query)) return response;
  return encode({ ...emptyResponse(query, noError), flags: authoritativeAnswer | truncated });
}

/** Bits 11 to 14; 0 is QUERY. */
const opcodeOf = (query: DecodedPacket): number => ((query.flags ?? 0) >> 11) & 0xf;

function tryDecode(request: Uint8Array): DecodedPacket | undefined {
  try {
    return decode(Buffer.from(request));
  } catch {
    return undefined;
  }
}

function responseTo(query: DecodedPacket, zone: DnsZone, options: AnswerOptions): Packet {
  const [question, ...more] = query.questions ?? [];
  if (opcodeOf(query) !== 0) return emptyResponse(query, notImplemented);
  if (question === undefined || more.length > 0) return emptyResponse(query, formatError);
  if (question.class !== 'IN') return emptyResponse(query, refused);
  return answerQuestion(query, question, zone, options);
}

function answerQuestion(
  query: DecodedPacket,
  question: Question,
  zone: DnsZone,
  options: AnswerOptions,
): Packet {
  const found = zone.lookup(question.name);
  if (found.type === 'unknown') return negative(query, nameError, zone);
  const answers = shuffled(recordsOf(question, found), options.random);
  if (answers.length === 0) return negative(query, noError, zone);
  const additionals = [...additionalsOf(query), ...(question.type === 'SRV' ? glue(found) : [])];
  return { ...emptyResponse(query, noError), answers, additionals };
}

function recordsOf(question: Question, found: Lookup): Answer[] {
  if (found.type !== 'records') return [];
  const { name } = question;
  if (question.type === 'SRV') return found.targets.map((target) => srvRecord(name, target));
  return found.addresses
    .filter((ip) => recordType(ip) === question.type)
    .map((ip) => addressRecord(name, ip));
}

const glue = (found: Lookup): Answer[] =>
  found.type === 'records'
    ? found.targets.flatMap(({ host, addresses }) => addresses.map((ip) => addressRecord(host, ip)))
    : [];

const recordType = (ip: IpAddress): 'A' | 'AAAA' => (isIpv4(ip) ? 'A' : 'AAAA');

const addressRecord = (name: string, ip: IpAddress): Answer => ({
  type: recordType(ip),
  name,
  ttl,
  data: ip,
});

const srvRecord = (name: string, { port, host }: SrvTarget): Answer => ({
  type: 'SRV',
  name,
  ttl,
  data: { priority: 0, weight: 100, port, target: host },
});

const negative = (query: DecodedPacket, code: number, zone: DnsZone): Packet => ({
  ...emptyResponse(query, code),
  authorities: [
    {
      type: 'SOA',
      name: zone.domain,
      ttl,
      data: {
        mname: `ns.dns.${zone.domain}`,
        rname: `hostmaster.${zone.domain}`,
        serial: 1,
        refresh: 7200,
        retry: 1800,
        expire: 86400,
        minimum: ttl,
      },
    },
  ],
});

const emptyResponse = (query: DecodedPacket, code: number): Packet => ({
  type: 'response',
  id: query.id ?? 0,
  // The response code is the low four bits of the flags; recursion-desired is copied from the question.
  flags: authoritativeAnswer | code | ((query.flags ?? 0) & recursionDesired),
  questions: query.questions ?? [],
  additionals: additionalsOf(query),
});

/** An EDNS request gets an EDNS response. */
const additionalsOf = (query: DecodedPacket): Answer[] =>
  requestedBytes(query) === undefined
    ? []
    : [
        {
          type: 'OPT',
          name: '.',
          udpPayloadSize: ednsUdpBytes,
          extendedRcode: 0,
          ednsVersion: 0,
          flags: 0,
          flag_do: false,
          options: [],
        },
      ];

function requestedBytes(query: DecodedPacket): number | undefined {
  const option = query.additionals?.find((record) => record.type === 'OPT');
  return option?.type === 'OPT' ? option.udpPayloadSize : undefined;
}

const udpLimit = (query: DecodedPacket): number =>
  Math.min(ednsUdpBytes, Math.max(plainUdpBytes, requestedBytes(query) ?? 0));

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, key: random() }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
