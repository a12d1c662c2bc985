/**
 * The admin API of a node: what its unix socket answers, as data types. The composition root implements `AdminApi`
 * from the agent and the ztunnel; `admin-server.ts` puts it on the socket; the CLI reads it. The documents are a
 * public schema: each carries `apiVersion` and `kind`, `null` means "none" or "not known", and fields are only added.
 * Times are RFC 3339 in UTC.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { Transport } from '../model/access.ts';
import type { ConnectionPath, Direction, Hop } from '../model/connection.ts';
import type { PolicyAction } from '../model/policy.ts';
import type { ConfigDump } from './config-dump-types.ts';
import type { RecentQuery } from './connection-registry.ts';
import type { ExplanationBody, ExplanationQuery } from './explanation-types.ts';
import type { Outcome } from './outcome.ts';

export const adminApiVersion = 'mesh-ebpf.io/v1alpha1';

/** What a question may bring along: manifests to be judged. What carries it to a node from elsewhere takes no more. */
export const maxAdminBodyBytes = 512 * 1024;

/** What the server wraps around every answer. */
export interface DocumentHead<Kind extends string> {
  readonly apiVersion: typeof adminApiVersion;
  readonly kind: Kind;
  readonly node: string;
  /** When the answer was made. */
  readonly time: string;
}

/** Something a person should act on: what, why and what to do next. */
export interface Problem {
  readonly code: ErrorCode;
  /** What it is about: `pod shop/cart-7f9c`, `map verdicts`, `file shop.yaml:3:5`. */
  readonly subject: string;
  readonly message: string;
  readonly hint: string | null;
  readonly since: string | null;
}

export interface StatusBody {
  readonly version: string;
  readonly startedAt: string;
  readonly health: 'ok' | 'degraded';
  readonly kernel: string;
  /** Where the objects come from: `directory /etc/mesh`, `kubernetes https://…`. */
  readonly source: {
    readonly name: string;
    /** `stale`: what it said last is in force, and some of it may have changed since. */
    readonly state: 'starting' | 'live' | 'stale';
    /** When it was last heard. */
    readonly lastEventAt: string | null;
    readonly meshVersion: number;
    readonly lastChangeAt: string | null;
  };
  /** Pods of this node that are labelled for the mesh, captured, and proved to be by connections of their own. */
  readonly pods: { readonly expected: number; readonly enrolled: number; readonly verified: number };
  readonly ca: {
    readonly state: 'ok' | 'unreachable' | 'unknown';
    readonly message: string | null;
    /** The certificate that expires first. */
    readonly nextExpiry: { readonly identity: string; readonly notAfter: string } | null;
  };
  readonly connections: {
    readonly live: number;
    readonly tunnelsOut: number;
    readonly tunnelsIn: number;
    readonly bufferedBytes: number;
  };
  readonly readiness: ReadinessBody;
  readonly problems: readonly Problem[];
}

export interface ReadinessBody {
  readonly ready: boolean;
  /** Names of the start-up tasks still under way. */
  readonly pending: readonly string[];
}

export type CertificateState = 'valid' | 'expiring' | 'expired' | 'pending' | 'failed';

export interface WorkloadItem {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly serviceAccount: string;
  readonly identity: string;
  readonly addresses: readonly string[];
  readonly protocol: 'hbone' | 'tcp';
  /** `remote`: on another node, which enrols it. `not-meshed`: not labelled. `no`: should be, and `reason` says why not. */
  readonly enrolment: 'enrolled' | 'no' | 'remote' | 'not-meshed';
  readonly reason: string | null;
  /** Of this node's workloads only. */
  readonly certificate: { readonly state: CertificateState; readonly notAfter: string | null } | null;
  /** Keys of the policies that apply to it. */
  readonly policies: readonly string[];
}

export interface ServiceItem {
  readonly namespace: string;
  readonly name: string;
  readonly hostname: string;
  readonly vips: readonly string[];
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  readonly endpoints: readonly {
    readonly address: string;
    /** `NAMESPACE/NAME` of the pod, where the address is one's. */
    readonly workload: string | null;
    /** Takes connections. */
    readonly ready: boolean;
    /** Answers its readiness probe; while it is terminating, it takes connections when no other is ready. */
    readonly serving: boolean;
    readonly terminating: boolean;
    /** Service port to endpoint port. */
    readonly ports: Readonly<Record<string, number>>;
  }[];
}

/** One identity's certificate. Never the private key. */
export interface CertificateItem {
  readonly identity: string;
  readonly state: CertificateState;
  /** Hexadecimal. */
  readonly serialNumber: string | null;
  readonly notBefore: string | null;
  readonly notAfter: string | null;
  readonly renewAt: string | null;
  /** Why the last attempt to renew failed, while it is failing. */
  readonly lastError: string | null;
  /** Pods of this node that use it, `NAMESPACE/NAME`. */
  readonly workloads: readonly string[];
  /** PEM, leaf first, without the roots. */
  readonly chain: readonly string[];
  readonly roots: readonly string[];
}

export interface PolicyItem {
  readonly kind: 'AuthorizationPolicy' | 'PeerAuthentication';
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  /** `mtls` of a PeerAuthentication. */
  readonly action: PolicyAction | 'mtls';
  /** Judged and reported, not enforced. */
  readonly dryRun: boolean;
  /** `mesh`, `namespace`, the labels of its selector as `app=web,tier=front`, or `service/NAMESPACE/NAME`. */
  readonly scope: string;
  /** One sentence a rule, as a person reads it. */
  readonly rules: readonly string[];
  /** Workloads of this node it applies to, `NAMESPACE/NAME`. */
  readonly workloads: readonly string[];
}

/** What lint found. */
export interface PolicyFindingItem {
  /** Stable: `selects-nobody`. All of them: docs/policy.md. */
  readonly code: string;
  readonly severity: 'error' | 'warning' | 'info';
  /** null: a file as a whole. */
  readonly kind: string | null;
  readonly namespace: string | null;
  readonly name: string | null;
  /** `spec.rules[0].from[1].source.principals[0]`; '' is the object as a whole. */
  readonly field: string;
  /** Of objects in files. */
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
  readonly message: string;
  readonly hint: string | null;
}

/** Connections of one source to the pods of one owner on one port, as their node saw them; failed ones are not counted. */
export interface PairItem {
  readonly allowed: boolean;
  /** Proved; null for plaintext. */
  readonly identity: string | null;
  /** Of the last connection; of plaintext, of all. */
  readonly sourceIp: string;
  /** `NAMESPACE/OWNER`, where the address was a pod's. */
  readonly sourceName: string | null;
  readonly namespace: string;
  /** `deployment/web` */
  readonly owner: string;
  /** Labels by which to select the owner's pods; null: there are none, or no pod any more. */
  readonly labels: Readonly<Record<string, string>> | null;
  /** Owners whose pods have these labels, too. */
  readonly alsoSelected: readonly string[];
  readonly port: number;
  /** That decided. */
  readonly policy: string | null;
  readonly count: number;
  readonly firstSeen: string;
  readonly lastSeen: string;
}

/** Connections seen lately that other policies would judge differently. */
export interface ChangedVerdictItem {
  /** `egress`: out of the mesh, or a datagram. */
  readonly direction: 'inbound' | 'egress';
  readonly identity: string | null;
  readonly sourceIp: string;
  readonly sourceName: string | null;
  /** The pods whose policies decide: the destination of inbound, the source of egress. */
  readonly namespace: string;
  readonly owner: string;
  readonly port: number;
  /** Of egress, as the application dialled it: `203.0.113.7:443/tcp`. */
  readonly destination: string | null;
  readonly count: number;
  readonly lastSeen: string;
  readonly before: DecidedItem;
  readonly after: DecidedItem;
}

export interface DecidedItem {
  readonly allowed: boolean;
  readonly policy: string | null;
  readonly reason: string;
}

/** Policies to judge by: those in force, with these in place of their namesakes. */
export interface RehearsalQuery {
  /** A List of objects as JSON. */
  readonly objects: string;
  /** All others are left out; of this namespace only, if one is given. */
  readonly prune: boolean;
  readonly namespace?: string | undefined;
}

export interface RehearsalBody {
  readonly items: readonly ChangedVerdictItem[];
  /** Connections judged. */
  readonly judged: number;
  /** Connections to pods of which none is there any more. */
  readonly unjudged: number;
  readonly egress: {
    /** Of the connections judged those that left the mesh, or were to. */
    readonly judged: number;
    /** The policies say something else of egress. What left the mesh past ztunnel is not remembered. */
    readonly isChanged: boolean;
  };
}

export interface ConnectionEnd {
  readonly address: string;
  /** `NAMESPACE/NAME` of the pod, where the address is one's. */
  readonly workload: string | null;
  /** Proved by a certificate in this connection. */
  readonly identity: string | null;
}

export interface ConnectionItem {
  readonly id: string;
  /** Of completed connections: place in the node's history. */
  readonly sequence: number | null;
  readonly direction: Direction;
  readonly path: ConnectionPath;
  /** `udp`: a datagram that a NamespaceAccess refused. */
  readonly transport: Transport;
  readonly source: ConnectionEnd;
  readonly destination: ConnectionEnd;
  readonly originalDestination: string;
  readonly hboneAddress: string | null;
  readonly service: string | null;
  readonly verdict: {
    readonly allowed: boolean;
    readonly policy: string | null;
    readonly reason: string;
    /** An AUDIT policy that matches. */
    readonly audit: string | null;
    /** What the verdict would be with the policies in dry run, where that differs. */
    readonly dryRun: {
      readonly allowed: boolean;
      readonly policy: string | null;
      readonly reason: string;
    } | null;
  } | null;
  readonly traceId: string | null;
  readonly openedAt: string;
  /** From the source's application to the destination's. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** On the kernel path, whether it goes from socket to socket; null on all others, and where it is not known. */
  readonly accelerated: boolean | null;
  /** null while it lives; the rest of the fields belongs to completed connections. */
  readonly outcome: Outcome | null;
  readonly durationMs: number | null;
  /** How many it stands for: those of a storm between two pods of one node are told together. */
  readonly connections: number;
  /** Of one that the kernel carried by itself, when it has ended. */
  readonly kernel: { readonly rttMs: number | null; readonly retransmits: number } | null;
  readonly error: {
    readonly code: ErrorCode;
    readonly hop: Hop;
    readonly message: string;
    readonly hint: string | null;
  } | null;
}

export interface ConnectionsBody {
  readonly live: readonly ConnectionItem[];
  /** Completed, oldest first. */
  readonly recent: readonly ConnectionItem[];
  /** Pass as `after` to hear only of later ones. */
  readonly last: number;
  /** Records that would have been looked at but were forgotten already: memory is bounded. */
  readonly lost: number;
}

export interface ConnectionsQuery extends RecentQuery {
  /** Which part is wanted; both when absent. */
  readonly only?: 'live' | 'recent';
}

/** Whether a pod is captured: for a CNI plugin that must not let it start before. */
export type EnrolmentBody =
  | { readonly enrolled: true; readonly workload: string; readonly since: string }
  | { readonly enrolled: false; readonly reason: string };

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Answers are snapshots; a rejected promise becomes status 500 with the error's code, message and hint. */
export interface AdminApi {
  status(): StatusBody | Promise<StatusBody>;
  workloads(): readonly WorkloadItem[] | Promise<readonly WorkloadItem[]>;
  services(): readonly ServiceItem[] | Promise<readonly ServiceItem[]>;
  certificates(): readonly CertificateItem[] | Promise<readonly CertificateItem[]>;
  policies(): readonly PolicyItem[] | Promise<readonly PolicyItem[]>;
  /** @param networkPolicies Kubernetes' own, as JSON of a List; '' is none. The node itself does not follow them. */
  lint(networkPolicies: string): readonly PolicyFindingItem[] | Promise<readonly PolicyFindingItem[]>;
  pairs(namespace: string | undefined): readonly PairItem[] | Promise<readonly PairItem[]>;
  rehearse(query: RehearsalQuery): RehearsalBody | Promise<RehearsalBody>;
  connections(query: ConnectionsQuery): ConnectionsBody | Promise<ConnectionsBody>;
  enrolment(uid: string): EnrolmentBody | Promise<EnrolmentBody>;
  explain(query: ExplanationQuery): ExplanationBody | Promise<ExplanationBody>;
  configDump(): ConfigDump | Promise<ConfigDump>;
  setLogLevel(level: LogLevel): void;
}

type List<Kind extends string, Item> = DocumentHead<Kind> & { readonly items: readonly Item[] };

export type StatusDocument = DocumentHead<'Status'> & StatusBody;
export type WorkloadList = List<'WorkloadList', WorkloadItem>;
export type ServiceList = List<'ServiceList', ServiceItem>;
export type CertificateList = List<'CertificateList', CertificateItem>;
export type PolicyList = List<'PolicyList', PolicyItem>;
export type PairList = List<'PairList', PairItem>;
export type RehearsalDocument = DocumentHead<'PolicyRehearsal'> & RehearsalBody;
export type PolicyFindingList = List<'PolicyFindingList', PolicyFindingItem>;
export type ExplanationDocument = DocumentHead<'Explanation'> & ExplanationBody;
export type ConnectionsDocument = DocumentHead<'ConnectionList'> & ConnectionsBody;

/** The body of every answer that is not 2xx. */
export type ErrorDocument = DocumentHead<'Error'> & {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | null;
};
