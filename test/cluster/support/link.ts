/** Listens to what pods of different nodes of this machine's cluster send each other, as somebody with a cable would. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { captureLink } from '../../../src/apps/demo/link-capture.ts';
import { fabricNetns, netnsDir, network } from '../plan/layout.ts';

export interface Heard {
  readonly bytes: number;
  contains(text: string): boolean;
}

const between = (net: string): string => `(src net ${net} and dst net ${net})`;

/** What was heard while `work` was done. Without the API server's traffic, which is always there. */
export async function overhear(work: () => Promise<unknown>): Promise<Heard> {
  const scratch = await mkdtemp(join(tmpdir(), 'mesh-ebpf-link-'));
  try {
    const { pods, v6 } = network;
    const filter = `tcp and (${between(pods)} or ${between(v6.pods)})`;
    const capture = await captureLink(join(netnsDir, fabricNetns), join(scratch, 'link.pcap'), filter);
    let heard: Heard | undefined;
    try {
      await work();
    } finally {
      heard = await capture.stop();
    }
    return heard;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
