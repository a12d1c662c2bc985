/** What enrolment says of a pod, and what it asks of the kernel side. */
import type { MeshError } from '../base/errors.ts';
import type { IpAddress } from '../base/ip.ts';
import type { Workload, WorkloadUid } from '../model/mesh.ts';
import type { Fd } from '../native/binding.ts';
import type { Proof } from './capture-verifier.ts';
import type { PodNetns } from './pod-netns.ts';

export interface CapturedPod {
  readonly uid: WorkloadUid;
  /** `NAMESPACE/NAME`, for people who read the maps. */
  readonly label: string;
  readonly netns: string;
  readonly addresses: readonly IpAddress[];
  readonly plaintextListener: Fd;
}

/** The kernel side of enrolment (`src/datapath`). */
export interface Capture {
  /** Of a pod that is captured already it mends what is not as it should be. */
  enrol(pod: CapturedPod): Promise<void>;
  unenrol(uid: WorkloadUid): Promise<void>;
  /** Also those that an earlier agent captured. */
  captured(): readonly WorkloadUid[];
}

export type PodState =
  | {
      readonly state: 'enrolled';
      readonly since: number;
      /** Undefined until it was tried for the first time. */
      readonly proof: Proof | undefined;
    }
  | { readonly state: 'pending' }
  | {
      readonly state: 'failed';
      readonly since: number;
      readonly attempts: number;
      readonly error: MeshError;
    };

/** Pods of this node that belong into the mesh, are captured, and were proved to be. */
export interface PodCounts {
  readonly expected: number;
  readonly enrolled: number;
  readonly verified: number;
}

/** A pod in the mesh, in the namespace that was proved to be its own. */
export interface EnrolledPod {
  readonly workload: Workload;
  readonly netns: PodNetns;
  readonly captured: CapturedPod;
  readonly since: number;
}
