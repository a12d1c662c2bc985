/** Who is told which policies a node runs: each replica of the controller by itself. */
import { describe, expect, it } from '@jest/globals';
import { controllersAt } from '../../../../src/apps/node/policy-reports.ts';
import { meshOf, service } from '../../../support/mesh-builder.ts';

const replicas = service('mesh-ebpf-system/mesh-ebpf-controller', '10.96.0.9', '15012:15012', [
  { address: '10.244.1.9' },
  { address: 'fd00::9', ready: false },
  { address: '10.244.2.9', ready: false, serving: false },
]);
const { view } = meshOf({ services: [replicas] });

describe('the controllers', () => {
  it.each([
    'mesh-ebpf-controller.mesh-ebpf-system:15012',
    'mesh-ebpf-controller.mesh-ebpf-system.svc:15012',
    'mesh-ebpf-controller.mesh-ebpf-system.svc.cluster.local:15012',
  ])('are the endpoints of %s that serve', (address) => {
    expect(controllersAt(view, address)).toContain('10.244.1.9:15012');
    expect(controllersAt(view, address)).not.toContain('10.244.2.9:15012');
  });

  it('are the address itself where it is no Service’s', () => {
    for (const address of [
      '10.1.2.3:15012',
      '[fd00::1]:15012',
      'istiod.istio-system.svc:15012',
      'ca.example.org:443',
    ]) {
      expect(controllersAt(view, address)).toEqual([address]);
    }
  });

  it('are nobody on a port that the Service does not have', () => {
    expect(controllersAt(view, 'mesh-ebpf-controller.mesh-ebpf-system:443')).toEqual([]);
  });
});
