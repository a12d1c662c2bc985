/** Entry of the hidden command `lab-kubelet`: one node's kubelet, until the process is told to stop. */
import { systemClock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { requireLab } from '../lab-file.ts';
import { labLayout } from '../layout.ts';
import { Kubelet } from './kubelet.ts';

export interface KubeletOptions {
  readonly node: string;
  readonly stateDir: string;
  /** How the kubelet before this one ended. */
  readonly lastExit: string | undefined;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** @throws MeshError when it cannot start */
export async function runKubelet({ node, stateDir, lastExit, log, signal }: KubeletOptions): Promise<void> {
  const layout = labLayout(stateDir);
  const state = await requireLab(layout);
  await new Kubelet(node, { layout, state, clock: systemClock, log }).start(lastExit);
  log.info({ node }, 'the node serves');
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
