/**
 * What is on the wire between the nodes: tcpdump in the lab's fabric, searched for texts. The same detector must find
 * the plaintext of an unmeshed pair in the same capture, or a test proves nothing.
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fabricNetns } from '../../../src/lab/layout.ts';
import { environment } from './cli.ts';
import { PodProcess } from './pod-process.ts';
import { eventually } from './wait.ts';

export class LinkCapture {
  readonly #directory = mkdtempSync(join(tmpdir(), 'mesh-netns-'));
  readonly #tcpdump: PodProcess;

  private constructor(filter: string) {
    const options = ['-i', 'node-a', '-s', '0', '-B', '65536', '--immediate-mode', '-U', '-w', this.#file];
    const inFabric = [
      'ip',
      'netns',
      'exec',
      fabricNetns,
      'tcpdump',
      '-Z',
      'root',
      ...options,
      filter,
    ] as const;
    this.#tcpdump = new PodProcess(inFabric, environment);
  }

  /** Captures the first node's end of the link from when it returns. @param filter in tcpdump's language */
  static async start(filter = 'tcp'): Promise<LinkCapture> {
    const capture = new LinkCapture(filter);
    const { child } = capture.#tcpdump;
    await new Promise<void>((resolve, reject) => {
      let said = '';
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('listening on')) resolve();
      });
      child.once('close', () => reject(new Error(`tcpdump ended: ${said}`)));
      child.once('error', reject);
    });
    return capture;
  }

  /** How often the text went over the wire so far, in clear. */
  count(text: string): number {
    const packets = readFileSync(this.#file);
    const wanted = Buffer.from(text);
    let found = 0;
    for (let at = packets.indexOf(wanted); at !== -1; at = packets.indexOf(wanted, at + 1)) found++;
    return found;
  }

  /** Size of the capture so far. */
  get bytes(): number {
    return statSync(this.#file).size;
  }

  /** Waits until the text was seen: then everything sent before it is in the capture too. */
  async seen(text: string): Promise<void> {
    await eventually(`"${text}" on the link between the nodes`, () =>
      this.count(text) > 0 ? true : undefined,
    );
  }

  async stop(): Promise<void> {
    await this.#tcpdump.kill('SIGTERM');
    rmSync(this.#directory, { recursive: true });
  }

  get #file(): string {
    return join(this.#directory, 'link.pcap');
  }
}
