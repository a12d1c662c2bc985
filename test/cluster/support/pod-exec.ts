/** Runs commands in pods through the API server, as `kubectl exec` does. */
import { Exec, type V1Status } from '@kubernetes/client-node';
import { Writable } from 'node:stream';
import { MeshError } from '../../../src/base/errors.ts';
import type { ClusterApi } from './api.ts';

export interface PodRef {
  readonly namespace: string;
  readonly name: string;
}

export interface PodOutput {
  readonly succeeded: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

const defaultTimeoutMs = 60_000;

/** What the command said and whether it succeeded. @throws MeshError UNAVAILABLE when it could not be run at all */
export async function execInPod(
  { kubeconfig }: ClusterApi,
  { namespace, name }: PodRef,
  command: readonly string[],
  timeoutMs = defaultTimeoutMs,
): Promise<PodOutput> {
  const stdout = new Collector();
  const stderr = new Collector();
  const { promise, resolve, reject } = Promise.withResolvers<V1Status>();
  const timer = setTimeout(() => reject(new Error(`no end after ${timeoutMs / 1000} s`)), timeoutMs);
  try {
    const socket = await new Exec(kubeconfig).exec(
      namespace,
      name,
      '',
      [...command],
      stdout,
      stderr,
      null,
      false,
      resolve,
    );
    socket.addEventListener('close', () => reject(new Error('the connection ended')));
    const { status } = await promise;
    return { succeeded: status === 'Success', stdout: stdout.text, stderr: stderr.text };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'the API server refused';
    throw new MeshError('UNAVAILABLE', `"${command.join(' ')}" in ${namespace}/${name}: ${reason}`, {
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
}

class Collector extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
