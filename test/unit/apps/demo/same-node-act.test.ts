import { describe, expect, it } from '@jest/globals';
import type { AdmittedPair, LabClient } from '../../../../src/apps/demo/lab-client.ts';
import { keepToHbone, tellSameNode } from '../../../../src/apps/demo/same-node-act.ts';
import type { PingResult } from '../../../../src/lab/app/ping.ts';

const ping = (firstMicros: number): PingResult => ({
  target: '10.244.1.9:7000',
  ok: true,
  firstMicros,
  connectionMicros: 210,
  roundTripMicros: 61,
  gigabitsPerSecond: 12.25,
});

const pair: AdmittedPair = {
  source: 'shop/web',
  sourceIp: '10.244.1.2',
  destination: 'shop/meter',
  destinationIp: '10.244.1.9',
  port: 7000,
  state: 'in force',
  verdict: { policy: 'shop/web-calls-meter' },
};

interface Given {
  readonly pings?: readonly PingResult[];
  readonly verdicts?: readonly AdmittedPair[];
}

/** A lab in which everything goes as it should, but for what is given. */
function lab(
  applied: string[],
  { pings = [ping(9000), ping(1500)], verdicts = [pair] }: Given = {},
): LabClient {
  const answers = [...pings];
  const inKernel = (): boolean => applied.at(-1)?.startsWith('3-') === true;
  return {
    lab: async (...args) => {
      applied.push(args[2]?.replace(/.*\//, '') ?? '');
      return '';
    },
    status: async () => ({ pods: [{ namespace: 'shop', name: 'meter', ips: ['10.244.1.9'] }] }) as never,
    app: async <Result>() => [answers.shift()] as Result[],
    explain: async () => ({
      outcome: 'allowed',
      verdict: { reason: '' },
      ways: [{ path: inKernel() ? 'kernel' : 'hbone' }],
    }),
    verdicts: async () => verdicts,
    suggest: async () => '',
    workloads: async () => [],
    connections: async () => ({ items: [], last: 0 }),
  };
}

const paint = (_style: string, text: string): string => text;

async function told(
  given: Given = {},
): Promise<{ wrong: number; lines: string; applied: readonly string[] }> {
  const lines: string[] = [];
  const applied: string[] = [];
  const screen = { data: (text: string) => void lines.push(text), hint: () => {}, paint, paintHint: paint };
  const client = lab(applied, given);
  await keepToHbone(client, 'same-node');
  const stage = { client, pods: [], scratch: '/nowhere' };
  const wrong = await tellSameNode({ ...screen, columns: 80 }, stage, 'same-node');
  return { wrong, lines: lines.join('\n'), applied };
}

describe('the demo’s act about pods of one node', () => {
  it('measures the pair over HBONE, then in the kernel, and tells what admits it', async () => {
    const { wrong, lines, applied } = await told();
    expect({ wrong, applied }).toEqual({
      wrong: 0,
      applied: ['1-over-hbone.yaml', '2-meter.yaml', '3-in-the-kernel.yaml'],
    });
    expect(lines).toMatch(
      /HBONE, mTLS +9\.0 ms +210 µs +61 µs +12\.3 Gbit\/s\n +in the kernel alone +1\.5 ms/,
    );
    expect(lines).toMatch(
      /shop\/web 10\.244\.1\.2 → shop\/meter 10\.244\.1\.9 port 7000: in force, allowed by shop\/web-calls-meter/,
    );
    expect(lines).not.toContain('NOT AS EXPECTED');
  });

  it.each([
    [
      'the client fails',
      { pings: [ping(1), { ...ping(1), ok: false, error: 'ECONNREFUSED' }] },
      /ECONNREFUSED/,
    ],
    ['nothing is in force', { verdicts: [{ ...pair, state: 'outdated' }] }, /nothing in force/],
    [
      'another policy admits it',
      { verdicts: [{ ...pair, verdict: null }] },
      /expected one by shop\/web-calls-meter/,
    ],
  ])('says what is not as expected: %s', async (_what, given, text) => {
    const { wrong, lines } = await told(given);
    expect(wrong).toBe(1);
    expect(lines).toMatch(/NOT AS EXPECTED/);
    expect(lines).toMatch(text);
  });
});
