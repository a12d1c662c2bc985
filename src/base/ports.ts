/**
 * The mesh's TCP ports, the ones Istio ambient uses (https://istio.io/latest/docs/ops/deployment/application-requirements/).
 * `bpf/include/abi.h` has the same numbers for the kernel; a test compares them.
 */
import type { Port } from './ip.ts';

/** In each pod's network namespace: connections the pod's applications made. */
export const outboundPort = 15001 as Port;
/** In each pod's network namespace: plaintext that arrived for the pod. */
export const plaintextPort = 15006 as Port;
/** In each pod's network namespace: HBONE from other ztunnels and waypoints. */
export const hbonePort = 15008 as Port;
/** In the node's namespace: Prometheus metrics. */
export const metricsPort = 15020 as Port;
/** In the node's namespace: readiness. */
export const readinessPort = 15021 as Port;
/** The controller's certificate authority (gRPC over TLS). */
export const caPort = 15012 as Port;

/** Ports nobody may aim at through the mesh: it would be calling itself. */
export const meshPorts: ReadonlySet<number> = new Set([outboundPort, plaintextPort, hbonePort]);
