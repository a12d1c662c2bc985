/** The datapath as enrolment sees it: finds the namespace's cookie on the way, and follows the mesh model. */
import type { Capture } from '../../agent/pod-state.ts';
import type { Datapath } from '../../datapath/datapath.ts';

export const captureThrough = (datapath: Datapath): Capture => ({
  async enrol(pod) {
    datapath.enrol({ ...pod, cookie: await datapath.netnsCookie(pod.netns) });
  },
  unenrol: (uid) => Promise.resolve(void datapath.unenrol(uid)),
  captured: () => datapath.enrolled().map(({ uid }) => uid),
});
