// One jest project a rung of the test ladder (test/README.md); `make test` runs them in order.
const rung = (name, extra = {}) => ({
  displayName: name,
  rootDir: import.meta.dirname,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/tools/jest-transform.mjs' },
  ...extra,
});

export default {
  // For what hangs, not for what is slow: a busy machine may take ten times as long as a quiet one.
  testTimeout: 60_000,
  testSequencer: '<rootDir>/tools/jest-sequencer.mjs',
  projects: [
    rung('unit'),
    rung('contract'),
    rung('arch'),
    rung('native'),
    rung('bpf'),
    rung('fuzz'),
    rung('netns'),
    // Istio's ztunnel is nothing one can install: its tests run where somebody has one (make interop ZTUNNEL=path).
    rung('interop', process.env.ZTUNNEL ? {} : { testPathIgnorePatterns: ['/test/interop/ztunnel/'] }),
    // Scenarios of the machine's own cluster make no sense on somebody else's.
    rung('cluster', {
      globalTeardown: '<rootDir>/test/cluster/support/global-teardown.mjs',
      ...(process.env.MESH_EBPF_KUBECONFIG ? { testPathIgnorePatterns: ['/scenarios/machine/'] } : {}),
    }),
  ],
};
