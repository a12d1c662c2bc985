/**
 * The shape of `/config_dump` that `istioctl ztunnel-config` reads (its `configdump` package): Istio's names, camel
 * case, and absent rather than null. Only what we have data for.
 */
export interface ConfigDump {
  readonly workloads: readonly DumpWorkload[];
  readonly services: readonly DumpService[];
  readonly policies: readonly DumpPolicy[];
  readonly certificates: readonly DumpCertificate[];
  readonly workloadState: Readonly<Record<string, DumpWorkloadState>>;
  readonly version: string;
}

export interface DumpWorkload {
  readonly uid: string;
  readonly workloadIps: readonly string[];
  readonly protocol: 'HBONE' | 'TCP';
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly workloadName: string;
  readonly workloadType: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly clusterId: string;
  readonly trustDomain: string;
  readonly node: string;
  readonly status: 'Healthy' | 'Unhealthy';
  readonly hostname: string;
  readonly authorizationPolicies: readonly string[];
}

export interface DumpService {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  /** `NETWORK/IP`; the network is empty here. */
  readonly vips: readonly string[];
  readonly ports: Readonly<Record<string, number>>;
  readonly endpoints: Readonly<Record<string, DumpEndpoint>>;
  readonly ipFamilies: string;
}

export interface DumpEndpoint {
  readonly workloadUid: string;
  readonly service: string;
  readonly port: Readonly<Record<string, number>>;
}

export interface DumpPolicy {
  readonly name: string;
  readonly namespace: string;
  readonly scope: 'Global' | 'Namespace' | 'WorkloadSelector';
  readonly action: 'Allow' | 'Deny';
  /** Rules (alternatives) of clauses (all must hold) of matches (alternatives). */
  readonly rules: readonly (readonly (readonly DumpMatch[])[])[];
}

export interface DumpMatch {
  readonly namespaces?: readonly DumpStringMatch[];
  readonly notNamespaces?: readonly DumpStringMatch[];
  readonly principals?: readonly DumpStringMatch[];
  readonly notPrincipals?: readonly DumpStringMatch[];
  readonly serviceAccounts?: readonly DumpAccountMatch[];
  readonly notServiceAccounts?: readonly DumpAccountMatch[];
  readonly sourceIps?: readonly string[];
  readonly notSourceIps?: readonly string[];
  readonly destinationIps?: readonly string[];
  readonly notDestinationIps?: readonly string[];
  readonly destinationPorts?: readonly number[];
  readonly notDestinationPorts?: readonly number[];
}

export interface DumpAccountMatch {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export type DumpStringMatch =
  | { readonly Exact: string }
  | { readonly Prefix: string }
  | { readonly Suffix: string }
  | { readonly Presence: Readonly<Record<string, never>> };

export interface DumpCertificate {
  readonly identity: string;
  readonly state: string;
  readonly certChain: readonly DumpPem[];
  readonly rootCerts: readonly DumpPem[];
}

export interface DumpPem {
  /** Base64 of the PEM text. */
  readonly pem: string;
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly expirationTime: string;
}

export interface DumpWorkloadState {
  readonly state: 'Up';
  readonly connections: {
    readonly inbound: readonly DumpConnection[];
    readonly outbound: readonly DumpConnection[];
  };
  readonly info: {
    readonly name: string;
    readonly namespace: string;
    readonly trustDomain: string;
    readonly serviceAccount: string;
  };
}

export interface DumpConnection {
  readonly src: string;
  readonly originalDst: string;
  readonly actualDst: string;
}
