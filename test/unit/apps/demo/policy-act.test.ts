import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import type { LabClient } from '../../../../src/apps/demo/lab-client.ts';
import { tellPolicies } from '../../../../src/apps/demo/policy-act.ts';
import type { ConnectionItem } from '../../../../src/telemetry/admin-api.ts';

const scratch = mkdtempSync(join(tmpdir(), 'mesh-ebpf-act-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const reason = 'no ALLOW policy matches: shop/web-calls-cart rule 1: …';

/** A lab in which everything goes as it should, but for what is given. */
function lab(given: { readonly answers?: readonly boolean[]; readonly logged?: string } = {}): LabClient {
  const answers = [...(given.answers ?? [true, false, true])];
  let applied = 0;
  const refusal = {
    direction: 'inbound',
    source: { workload: 'shop/cart-2' },
    verdict: { allowed: false, reason: given.logged ?? reason },
  } as ConnectionItem;
  return {
    lab: async () => String((applied += 1)),
    status: async () => ({}) as never,
    app: async <Result>() => [{ ok: answers.shift() }] as Result[],
    explain: async () => ({ outcome: applied > 1 ? 'allowed' : 'denied', verdict: { reason }, ways: [] }),
    verdicts: async () => [],
    suggest: async () => '# seen\n---\n# from\napiVersion: x\nmetadata: { name: "web-seen" }\n',
    workloads: async () => [],
    connections: async () => ({ items: [refusal], last: 1 }),
  };
}

const paint = (_style: string, text: string): string => text;

async function told(client: LabClient): Promise<{ readonly wrong: number; readonly lines: string }> {
  const lines: string[] = [];
  const screen = { data: (text: string) => void lines.push(text), hint: () => {}, paint, paintHint: paint };
  const pods = [{ namespace: 'shop', name: 'web', node: 'node-a' }] as never;
  const wrong = await tellPolicies({ ...screen, columns: 80 }, { client, pods, scratch }, 'policies.yaml');
  return { wrong, lines: lines.join('\n') };
}

describe('the demo’s act about policies', () => {
  it('tells what happens, in order', async () => {
    const { wrong, lines } = await told(lab());
    expect(wrong).toBe(0);
    expect(lines).toMatch(
      /web → shop\/cart-2 +allowed.*\n.*cart-2 → shop\/web +REFUSED.*\n.*the log says.*\n.*explain says.*\n.*apiVersion/,
    );
    expect(lines).not.toContain('NOT AS EXPECTED');
  });

  it.each([
    [
      'who may call is refused',
      { answers: [false, false, true] },
      /REFUSED by .*\n +NOT AS EXPECTED: it was refused/,
    ],
    [
      'who may not is let in',
      { answers: [true, true, true] },
      /allowed before .*\n +NOT AS EXPECTED: it reached web/,
    ],
    [
      'log and explain differ',
      { logged: 'another' },
      /explain says .*\n +NOT AS EXPECTED: they do not say the same/,
    ],
    [
      'the proposal does not help',
      { answers: [true, false, false] },
      /once that is applied\n +NOT AS EXPECTED: it is refused/,
    ],
  ] as const)('says at its line that %s', async (_, given, expected) => {
    const { wrong, lines } = await told(lab(given));
    expect(wrong).toBe(1);
    expect(lines).toMatch(expected);
    expect(lines.match(/NOT AS EXPECTED/g)).toHaveLength(1);
  });
});
