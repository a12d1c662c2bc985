/**
 * What the peer's ztunnel is told when its CONNECT is not granted, and what we make of such an answer. The statuses
 * are Istio ambient's: 400 for a bad request, 401 for a refusal by policy, 503 for everything on the way on.
 */
import { MeshError, type ErrorCode } from '../../base/errors.ts';

type HboneStatus = 400 | 401 | 503;

const statuses: ReadonlyMap<ErrorCode, HboneStatus> = new Map([
  ['BAD_CONNECT', 400],
  ['RECURSIVE_CALL', 400],
  ['H2_PROTOCOL', 400],
  ['POLICY_DENIED', 401],
]);

export const hboneStatus = (code: ErrorCode): HboneStatus => statuses.get(code) ?? 503;

const meanings: ReadonlyMap<string, string> = new Map([
  ['400', 'it does not accept this target; is the address of the pod still current?'],
  ['401', 'a policy at the destination denies the connection; the destination’s log names it'],
  ['503', 'it could not connect to the application; is the application listening on that port?'],
]);

/** The error for a response other than 200. */
export function connectRefused(status: string, peer: string, target: string): MeshError {
  return new MeshError('CONNECT_REFUSED', `ztunnel at ${peer} answered ${status} for ${target}`, {
    hint: meanings.get(status) ?? 'look at the log of the destination’s node',
    details: { status },
  });
}
