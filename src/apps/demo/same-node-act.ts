/**
 * The demo's act about pods of one node: the same pair over HBONE, and in the kernel alone, with what the kernel goes
 * by. The pair is not carried by the kernel before this act, because the namespace asks for HBONE until then.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../base/errors.ts';
import { formatSocketAddress, parseIp, parsePort } from '../../base/ip.ts';
import type { Screen } from '../../cli/screen.ts';
import type { PingResult } from '../../lab/app/ping.ts';
import type { AdmittedPair, LabClient } from './lab-client.ts';
import type { Stage } from './perform.ts';
import { withVerdict } from './screen.ts';

const from = 'shop/web';
const to = 'shop/meter';
const port = parsePort('7000');
const policy = 'shop/web-calls-meter';

const size = ['--count', '100', '--megabytes', '50'];

type Way = 'hbone' | 'kernel';

export const keepToHbone = async (client: LabClient, manifests: string): Promise<unknown> =>
  await client.lab('apply', '-f', join(manifests, '1-over-hbone.yaml'));

/** Returns how much was not as expected. */
export async function tellSameNode(screen: Screen, stage: Stage, manifests: string): Promise<number> {
  const { client } = stage;
  const { paint } = screen;
  screen.data(
    `\n${paint('bold', 'Two pods of one node')}: ${from} → ${to}, over HBONE and, without the annotation ` +
      'mesh-ebpf.io/same-node: hbone, in the kernel alone',
  );
  await client.lab('apply', '-f', join(manifests, '2-meter.yaml'), '--wait');
  const target = formatSocketAddress({ ip: await addressOf(client), port });
  const outcomes: boolean[] = [];
  const tell = (text: string, wrong: string | undefined): void => {
    screen.data(withVerdict(text, wrong, paint));
    outcomes.push(wrong === undefined);
  };
  screen.data(paint('bold', header));
  for (const way of ['hbone', 'kernel'] as const) {
    if (way === 'kernel') await client.lab('apply', '-f', join(manifests, '3-in-the-kernel.yaml'));
    await whenExplained(client, target, way);
    const [result] = await client.app<PingResult>(from, 'ping', target, ...size);
    tell(pingLine(way, result), result?.ok === true ? undefined : (result?.error ?? 'the client failed'));
  }
  const pair = (await client.verdicts(from, to)).find(({ state }) => state === 'in force');
  tell(verdictLine(pair), pair?.verdict?.policy === policy ? undefined : `expected one by ${policy}`);
  return outcomes.filter((right) => !right).length;
}

async function addressOf(client: LabClient): Promise<ReturnType<typeof parseIp>> {
  const { pods } = await client.status();
  const [ip] = pods.find(({ namespace, name }) => `${namespace}/${name}` === to)?.ips ?? [];
  if (ip === undefined) throw new MeshError('NOT_FOUND', `the lab has no pod ${to}`);
  return parseIp(ip);
}

/** Files take a moment to be in force. */
async function whenExplained(client: LabClient, target: string, way: Way): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const { outcome, ways } = await client.explain(from, target);
    if (outcome === 'allowed' && ways[0]?.path === way) return;
    await delay(50);
  }
  throw new MeshError('TIMEOUT', `${from} → ${target} does not take the way ${way} yet`);
}

const widths = [19, 17, 17, 15] as const;
const row = (...cells: readonly string[]): string =>
  `  ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' ')}`.trimEnd();

const header = row('', 'FIRST CONNECTION', 'NEW CONNECTION', '64 B ROUND TRIP', 'BOTH WAYS AT ONCE');
const names = { hbone: 'HBONE, mTLS', kernel: 'in the kernel alone' } as const;

function pingLine(way: Way, result: PingResult | undefined): string {
  if (result?.ok !== true) return row(names[way], 'failed');
  const { firstMicros, connectionMicros, roundTripMicros, gigabitsPerSecond } = result;
  return row(
    names[way],
    `${(firstMicros / 1000).toFixed(1)} ms`,
    `${connectionMicros} µs`,
    `${roundTripMicros} µs`,
    `${gigabitsPerSecond.toFixed(1)} Gbit/s`,
  );
}

function verdictLine(pair: AdmittedPair | undefined): string {
  if (pair === undefined) return '  verdicts          nothing in force';
  const { source, sourceIp, destination, destinationIp, state, verdict } = pair;
  return (
    `  verdicts          ${source} ${sourceIp} → ${destination} ${destinationIp} port ${pair.port}: ${state}, ` +
    `allowed by ${verdict?.policy ?? 'nobody who could be asked'}`
  );
}
