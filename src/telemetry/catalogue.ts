/**
 * Every metric there is: name, kind, labels and whether you may build on it. `core` metrics keep name, labels and
 * meaning within a major version; `unstable` ones may change with any release. `docs` and tests read this table.
 */
export type Stability = 'core' | 'unstable';

export interface MetricSpec {
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly labels: readonly string[];
  readonly stability: Stability;
}

/** Per connection, with Istio's standard labels (`traffic-labels.ts`). */
export const istioCatalogue = {
  istio_tcp_connections_opened_total: {
    help: 'TCP connections opened',
    stability: 'core',
  },
  istio_tcp_connections_closed_total: {
    help: 'TCP connections closed',
    stability: 'core',
  },
  istio_tcp_sent_bytes_total: {
    help: 'Bytes from the destination to the source (the response), for either reporter',
    stability: 'core',
  },
  istio_tcp_received_bytes_total: {
    help: 'Bytes from the source to the destination (the request), for either reporter',
    stability: 'core',
  },
  istio_tcp_connections_failed_total: {
    help: 'TCP connections that a policy refused or that should have worked and did not',
    stability: 'unstable',
  },
} as const satisfies Record<string, { readonly help: string; readonly stability: Stability }>;

export type IstioMetric = keyof typeof istioCatalogue;

/** Of the node itself. */
export const meshCatalogue = {
  mesh_build_info: {
    type: 'gauge',
    help: 'Always 1; the version is in the label',
    labels: ['version', 'node_version'],
    stability: 'core',
  },
  mesh_pods: {
    type: 'gauge',
    help: 'Pods of this node that are labelled for the mesh (expected), captured (enrolled), and proved to be by connections of their own (verified); fewer than expected means plaintext',
    labels: ['state'],
    stability: 'core',
  },
  mesh_worker_restarts_total: {
    type: 'counter',
    help: 'Node programs that ended and should not have, so that the keeper started another: since the pod or service began',
    labels: [],
    stability: 'core',
  },
  mesh_api_forbidden_total: {
    type: 'counter',
    help: 'Requests that the Kubernetes API server refused for want of a permission: the account lacks the verb on the resource',
    labels: ['verb', 'resource', 'account'],
    stability: 'core',
  },
  mesh_enrolment_failures_total: {
    type: 'counter',
    help: 'Attempts to capture a pod that failed, by error code',
    labels: ['code'],
    stability: 'unstable',
  },
  mesh_datapath_events_total: {
    type: 'counter',
    help: 'What the BPF programs did with connections, by their counters',
    labels: ['event'],
    stability: 'unstable',
  },
  mesh_egress_denied_total: {
    type: 'counter',
    help: 'Connections (tcp) and datagrams (udp) refused in the kernel, by the NamespaceAccess that refused; "untold" for those of which only the number is known',
    labels: ['protocol', 'policy'],
    stability: 'core',
  },
  mesh_route_failures_total: {
    type: 'counter',
    help: 'Endpoints that did not take a connection, by error code; another was tried where there was one',
    labels: ['code'],
    stability: 'unstable',
  },
  mesh_kernel_path_cut_total: {
    type: 'counter',
    help: 'Connections on the kernel path that were ended because a change denied them',
    labels: [],
    stability: 'unstable',
  },
  mesh_acceleration_trials_total: {
    type: 'counter',
    help: 'Trials of acceleration on this kernel, at starts with it on: "intact", or "damaged", which leaves it off',
    labels: ['outcome'],
    stability: 'unstable',
  },
  mesh_acceleration_spurious_wakeups_total: {
    type: 'counter',
    help: 'Blocking reads in such trials that failed with EAGAIN because their own side had half-closed',
    labels: [],
    stability: 'unstable',
  },
  mesh_kernel_path_services_left_out: {
    type: 'gauge',
    help: 'Addresses of Services that the kernel does not draw endpoints of, for want of room: ztunnel does',
    labels: [],
    stability: 'unstable',
  },
  mesh_route_hedges_total: {
    type: 'counter',
    help: 'Endpoints that kept a connection waiting, so that another was tried beside them',
    labels: [],
    stability: 'unstable',
  },
  mesh_bpf_programs_degraded: {
    type: 'gauge',
    help: '1 while BPF programs of the version before are in force because those of this one did not load or failed their test (failed), or while this kernel could not try them, whichever are in force (untried)',
    labels: ['reason'],
    stability: 'core',
  },
  mesh_bpf_map_entries: {
    type: 'gauge',
    help: 'Entries of the BPF maps that can fill up, as of at most half a minute ago',
    labels: ['map'],
    stability: 'core',
  },
  mesh_bpf_map_max_entries: {
    type: 'gauge',
    help: 'Entries for which those maps have room; what a full one stops is in `mesh-ebpf maps list -o wide`',
    labels: ['map'],
    stability: 'core',
  },
  mesh_certificates: {
    type: 'gauge',
    help: 'Identities of this node by the state of their certificate',
    labels: ['state'],
    stability: 'core',
  },
  mesh_certificate_next_expiry_timestamp_seconds: {
    type: 'gauge',
    help: 'When the first of this node’s certificates expires, Unix time',
    labels: [],
    stability: 'core',
  },
  mesh_ca_requests_total: {
    type: 'counter',
    help: 'Certificate requests by result: ok, or the error code',
    labels: ['result'],
    stability: 'unstable',
  },
  mesh_config_errors: {
    type: 'gauge',
    help: 'Objects that could not be understood; their last good version stays in force',
    labels: [],
    stability: 'core',
  },
  mesh_config_version: {
    type: 'gauge',
    help: 'Version of the mesh model in force; grows by one with every change',
    labels: [],
    stability: 'unstable',
  },
  mesh_policy_decisions_total: {
    type: 'counter',
    help: 'Inbound connections by the policy that decided: denied, audited, or what one in dry run would have denied or allowed; policies beyond the first 200 count as "other", no matching ALLOW as "none"',
    labels: ['policy', 'decision'],
    stability: 'unstable',
  },
  mesh_policy_status_writes_total: {
    type: 'counter',
    help: 'Writes of the status of a policy by this controller: ok, or the error code; CONFLICT is somebody else being faster',
    labels: ['result'],
    stability: 'unstable',
  },
  mesh_policy_report_nodes: {
    type: 'gauge',
    help: 'Nodes with a node program by whether they have told this controller which policies they run: reporting, silent',
    labels: ['state'],
    stability: 'unstable',
  },
  mesh_denial_events_total: {
    type: 'counter',
    help: 'Kubernetes Events about refused connections: written, or dropped because there were too many',
    labels: ['result'],
    stability: 'unstable',
  },
  mesh_authority_answers_total: {
    type: 'counter',
    help: 'Certificate requests answered by this controller: issued, or why not',
    labels: ['result'],
    stability: 'core',
  },
  mesh_authority_root_expiry_timestamp_seconds: {
    type: 'gauge',
    help: 'When the root that signs expires, Unix time',
    labels: [],
    stability: 'core',
  },
  mesh_authority_rotation: {
    type: 'gauge',
    help: '1 for the stage in which the rotation of the root is, 0 for the others',
    labels: ['stage'],
    stability: 'core',
  },
  mesh_authority_leading: {
    type: 'gauge',
    help: '1 if this controller is the one that changes the authority',
    labels: [],
    stability: 'core',
  },
  mesh_authority_upkeep_failures_total: {
    type: 'counter',
    help: 'Steps of looking after the authority that failed; its log says why',
    labels: [],
    stability: 'core',
  },
  mesh_connections_live: {
    type: 'gauge',
    help: 'Connections through this ztunnel now; one between two pods of the node counts on both sides',
    labels: [],
    stability: 'unstable',
  },
  mesh_tunnels: {
    type: 'gauge',
    help: 'HBONE connections now, by who dialled (outbound: this node)',
    labels: ['direction'],
    stability: 'unstable',
  },
  mesh_buffered_bytes: {
    type: 'gauge',
    help: 'Bytes held in user space on behalf of connections',
    labels: [],
    stability: 'unstable',
  },
  mesh_traffic_series: {
    type: 'gauge',
    help: 'Label tuples of istio_tcp_* that have a series of their own',
    labels: [],
    stability: 'unstable',
  },
  mesh_traffic_series_overflow_total: {
    type: 'counter',
    help: 'Connections counted under "other" because the budget of series was spent',
    labels: [],
    stability: 'unstable',
  },
} as const satisfies Record<string, MetricSpec>;

export type MeshMetric = keyof typeof meshCatalogue;
export type MeshCounter = {
  [Name in MeshMetric]: (typeof meshCatalogue)[Name]['type'] extends 'counter' ? Name : never;
}[MeshMetric];
export type LabelsOf<Name extends MeshMetric> = Readonly<
  Record<(typeof meshCatalogue)[Name]['labels'][number], string>
>;
