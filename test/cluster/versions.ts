/** What the cluster is made of, besides Debian's packages. Kubernetes and etcd are pinned by `components/go.mod`. */
export const versions = {
  coredns: 'v1.14.2',
  /** Echo server and load generator for HTTP, gRPC, TCP and UDP. */
  fortio: 'v1.68.0',
  /** Fetched where no Go that is new enough is installed. */
  go: '1.26.8',
} as const;
