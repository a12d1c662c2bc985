/**
 * Why a meshed pod's command waits: it must not open a connection before the node program captures it. Asks the
 * node program over its admin socket; without a mesh nobody is asked.
 */
import { request } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';

export interface EnrolmentGate {
  /** Whether connections of the pod are captured now. False while nobody answers. */
  isEnrolled(uid: string): Promise<boolean>;
}

const askTimeoutMs = 2000;

export function adminSocketGate(socketPath: string): EnrolmentGate {
  return {
    isEnrolled: (uid) =>
      new Promise((resolve) => {
        const path = `/v1/enrolment/${encodeURIComponent(uid)}`;
        const asked = request({ socketPath, path, timeout: askTimeoutMs }, (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (text: string) => (body += text));
          response.on('close', () => resolve(response.statusCode === 200 && saysEnrolled(body)));
        });
        asked.on('timeout', () => asked.destroy());
        asked.on('error', () => resolve(false));
        asked.end();
      }),
  };
}

function saysEnrolled(body: string): boolean {
  try {
    return (JSON.parse(body) as { readonly enrolled?: unknown }).enrolled === true;
  } catch {
    return false;
  }
}

const askEveryMs = 40;
const patienceMs = 30_000;

export interface EnrolmentWait {
  readonly gate: EnrolmentGate;
  readonly uid: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** @throws MeshError TIMEOUT after 30 seconds; the signal's reason when it fires first. */
export async function waitUntilEnrolled({ gate, uid, clock, signal }: EnrolmentWait): Promise<void> {
  const deadline = clock.now() + patienceMs;
  while (!(await gate.isEnrolled(uid))) {
    signal.throwIfAborted();
    if (clock.now() >= deadline) {
      throw new MeshError('TIMEOUT', `the node program did not enrol the pod within ${patienceMs / 1000} s`, {
        hint: 'mesh-ebpf lab logs --node NODE says why; then delete the pod and apply it again',
      });
    }
    await new Promise<void>((resolve) => clock.after(askEveryMs, resolve));
  }
}
