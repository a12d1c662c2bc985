/** The datapath as enrolment sees it: finds the namespace's cookie on the way, and follows the mesh model. */
import type { Capture } from '../../agent/pod-state.ts';
import type { Datapath } from '../../datapath/datapath.ts';

/** @param enrolled told of each pod that has come in */
export const captureThrough = (datapath: Datapath, enrolled: () => void): Capture => ({
  async enrol(pod) {
    datapath.enrol({ ...pod, cookie: await datapath.netnsCookie(pod.netns) });
    enrolled();
  },
  unenrol: (uid) => Promise.resolve(void datapath.unenrol(uid)),
  captured: () => datapath.enrolled().map(({ uid }) => uid),
});
