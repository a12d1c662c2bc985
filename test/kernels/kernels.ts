/** The kernels of the matrix: Debian's builds of the long-term series that nodes run. */

export interface Kernel {
  /** `5.10` */
  readonly series: string;
  /** Of Debian, in which packages of this series are; the newest of them is taken. */
  readonly suites: readonly string[];
}

export const kernels: readonly Kernel[] = [
  { series: '5.10', suites: ['bullseye', 'bullseye-security'] },
  { series: '6.1', suites: ['bookworm', 'bookworm-security'] },
  { series: '6.12', suites: ['trixie', 'trixie-security', 'bookworm-security'] },
];
