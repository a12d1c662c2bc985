/**
 * What `GET /v1/explain` answers: what would become of a connection, step by step, in the words of the access log. Part
 * of the admin API's public schema (`admin-api.ts`); `mesh-ebpf explain` without a node makes the same document.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { Transport } from '../model/access.ts';
import type { Hop } from '../model/connection.ts';
import type { MtlsMode, PolicyAction } from '../model/policy.ts';

export interface ExplanationQuery {
  /** Who connects: `pod/shop/web-1`, `web.shop`, `sa/shop/web`, an address. */
  readonly from: string;
  /** To what: `db.shop:5432`, `pod/shop/db-0:5432`, `10.96.0.9:53/udp`. */
  readonly to: string;
  /** Of names without one. */
  readonly namespace?: string;
}

/** `depends`: on the endpoint that is chosen. `failed`: it comes to nothing before a policy is asked, or for no policy’s sake. */
export type ExplainedOutcome = 'allowed' | 'denied' | 'failed' | 'depends';

export interface ExplanationBody {
  /** The mesh as it was at this version. */
  readonly meshVersion: number;
  readonly source: ExplainedSource;
  readonly destination: ExplainedDestination;
  /** Whether the source's node hands the connection to its ztunnel. */
  readonly capture: { readonly captured: boolean; readonly why: string };
  /** What NamespaceAccess objects say of leaving the mesh; null: they are not asked, or have no say. */
  readonly egress: ExplainedVerdict | null;
  /** Where it may end, by what becomes of it there; none if it ends before. */
  readonly ways: readonly ExplainedWay[];
  readonly outcome: ExplainedOutcome;
  /** Of all ways; null if it depends. */
  readonly verdict: ExplainedVerdict | null;
  /** What a reader should know of the answer. */
  readonly notes: readonly string[];
}

export interface ExplainedSource {
  /** As asked. */
  readonly asked: string;
  /** `NAMESPACE/NAME`; null for an address or an identity that is no pod's. */
  readonly workload: string | null;
  readonly node: string | null;
  readonly address: string | null;
  /** What it proves where it takes part in the mesh. */
  readonly identity: string | null;
  /** Where the node knows: its state, and until when it is valid. */
  readonly certificate: { readonly state: string; readonly notAfter: string | null } | null;
}

export interface ExplainedDestination {
  readonly asked: string;
  /** What the application dials, `IP:PORT`; several of a headless Service or a Deployment. */
  readonly dialled: readonly string[];
  readonly transport: Transport;
  /** `NAMESPACE/NAME`. */
  readonly service: string | null;
}

/** `hbone`: mutual TLS between nodes. `kernel`: within a node, in the kernel alone once ztunnel has said yes. `plaintext`: it arrives as such at a pod of the mesh. `direct`: the mesh has no part in it there. */
export type ExplainedPath = 'hbone' | 'kernel' | 'plaintext' | 'direct';

export interface ExplainedWay {
  /** Some of those at which it fares alike. */
  readonly endpoints: readonly ExplainedEndpoint[];
  /** How many there are. */
  readonly endpointCount: number;
  /** null: it gets nowhere. */
  readonly path: ExplainedPath | null;
  /** `through 10.244.2.7:15008`. */
  readonly pathWhy: string;
  /** null where the mesh has no part in it. */
  readonly tls: ExplainedTls | null;
  /** In the order in which they are asked. */
  readonly policies: readonly ExplainedPolicy[];
  /** Considered, but not listed here: none of them matches. */
  readonly policiesOmitted: number;
  /** Of the same namespace or the root namespace, for other pods. */
  readonly notForIt: readonly { readonly policy: string; readonly scope: string }[];
  /** What NamespaceAccess says where no ALLOW policy applies; null: to allow. */
  readonly inboundDefault: ExplainedVerdict | null;
  readonly verdict: ExplainedVerdict;
  /** The node that says so. */
  readonly answeredBy: string | null;
}

export interface ExplainedEndpoint {
  /** `IP:PORT`. */
  readonly address: string;
  readonly workload: string | null;
  readonly node: string | null;
}

export interface ExplainedTls {
  /** What the source proves; null: nothing, it is plaintext. */
  readonly proves: string | null;
  /** By what. `kernel`: there is no TLS, the kernel knows whose socket it is, which counts as mutual TLS. */
  readonly proof: 'certificate' | 'kernel' | null;
  /** One of them the destination has to prove. */
  readonly expects: readonly string[];
  /** What the destination takes on the port, and the PeerAuthentication that says so. */
  readonly mode: MtlsMode;
  readonly policy: string | null;
}

export interface ExplainedPolicy {
  readonly policy: string;
  readonly action: PolicyAction;
  readonly dryRun: boolean;
  readonly scope: string;
  readonly matches: boolean;
  /** The rule that matches and why, or what the nearest one lacks. */
  readonly sentence: string;
  readonly rules: readonly ExplainedRule[];
  readonly rulesOmitted: number;
}

export interface ExplainedRule {
  /** Position in the policy, from 1. */
  readonly rule: number;
  readonly matches: boolean;
  readonly clauses: readonly {
    /** `from[1]`, `when[0]`. */
    readonly at: string;
    readonly holds: boolean;
    readonly conditions: readonly ExplainedCondition[];
  }[];
}

export interface ExplainedCondition {
  readonly field: string;
  readonly values: readonly string[];
  readonly valuesOmitted: number;
  readonly actual: string | null;
  readonly holds: boolean;
  readonly sentence: string;
}

export interface ExplainedVerdict {
  readonly outcome: Exclude<ExplainedOutcome, 'depends'>;
  readonly policy: string | null;
  /** As in the access log: `verdict.reason`. */
  readonly reason: string;
  /** As in the access log: `error`; null where there would be none. */
  readonly error: {
    readonly code: ErrorCode;
    readonly hop: Hop;
    readonly message: string;
    readonly hint: string | null;
  } | null;
  readonly audit: string | null;
  readonly dryRun: {
    readonly allowed: boolean;
    readonly policy: string | null;
    readonly reason: string;
  } | null;
}
