/**
 * The evaluator in use and Istio's documentation, written down as a second, slow evaluator, agree on a million random
 * policies and connections; and a mistake in the first would be noticed, which is tried with some that are easily
 * made. `FUZZ_SEED` and `FUZZ_RUNS` give other and longer runs.
 */
import { afterAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../..');
const seed = process.env['FUZZ_SEED'] ?? '20261126';
const cases = Number(process.env['FUZZ_RUNS'] ?? 1_000_000);
const generousMs = 600_000;

interface Finished {
  readonly code: number;
  readonly output: string;
}

const differential = (directory: string, count: number, ...more: readonly string[]): Promise<Finished> =>
  new Promise((resolve) => {
    const main = join(directory, 'test/fuzz/policy/main.ts');
    execFile(process.execPath, [main, String(count), seed, ...more], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : 1, output: stdout + stderr });
    });
  });

describe('decisions', () => {
  it(
    'are what Istio documents, whatever the policies and the connection',
    async () => {
      const { code, output } = await differential(root, cases);
      expect(output).toContain(`${cases} cases, 0 mismatches`);
      expect(code).toBe(0);
      // Both outcomes are common, else there would be little to compare.
      const allowed = Number(/([0-9.]+) % allowed/.exec(output)?.[1]);
      expect(allowed).toBeGreaterThan(20);
      expect(allowed).toBeLessThan(80);
    },
    generousMs,
  );
});

const scratch = mkdtempSync(join(tmpdir(), 'mesh-ebpf-mutations-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A copy of the sources with one mistake in it. */
function mutated(name: string, file: string, good: string, bad: string): string {
  const copy = join(scratch, name.replaceAll(/\W+/g, '-'));
  for (const part of ['src', 'test/support', 'test/fuzz', 'package.json']) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const path = join(copy, 'src', file);
  const source = readFileSync(path, 'utf8');
  if (source.split(good).length !== 2) throw new Error(`${file} has not exactly one "${good}" to spoil`);
  writeFileSync(path, source.replace(good, bad));
  return copy;
}

describe('a mistake is noticed', () => {
  it.each([
    [
      'an index that stops at the first rule',
      'policy/rule-index.ts',
      'if (first !== undefined && inOrder(rule, first) >= 0) return;',
      'return;',
    ],
    [
      'rules filed under one alternative only',
      'policy/rule-index.ts',
      'conditions.forEach((condition) =>',
      'conditions.slice(0, 1).forEach((condition) =>',
    ],
    ['rules without positive conditions forgotten', 'policy/rule-index.ts', 'search(this.#unfiled);', ''],
    [
      'a negative condition taken for a positive one',
      'policy/conditions.ts',
      '(value !== undefined && this.#matches(value)) !== this.negated',
      'value !== undefined && this.#matches(value)',
    ],
    [
      'prefixes taken for suffixes',
      'policy/pattern-map.ts',
      'return value.startsWith(pattern.slice(0, -1));',
      'return value.endsWith(pattern.slice(0, -1));',
    ],
    [
      'one bit of a block forgotten',
      'policy/address-words.ts',
      'const own = bits - index * 32;',
      'const own = bits - 1 - index * 32;',
    ],
    ['IPv4 taken for a part of IPv6', 'policy/address-words.ts', 'isSame && family === address.family', ''],
    [
      'ALLOW asked before DENY',
      'policy/evaluate.ts',
      "firstMatch(layers, 'custom', attributes) ?? firstMatch(layers, 'deny', attributes)",
      "firstMatch(layers, 'custom', attributes)",
    ],
    [
      'a namespace’s ALLOW forgotten beside the mesh’s',
      'policy/evaluate.ts',
      'allowing.every(',
      'allowing.some(',
    ],
    [
      'the root namespace’s selectors kept to itself',
      'policy/live-parts.ts',
      'new Set([this.#rootNamespace, namespace])',
      'new Set([namespace])',
    ],
    [
      'a policy kept that is gone',
      'policy/live-parts.ts',
      'for (const part of [group.part, ...this.#combinedOf(group)]) part?.delete(policy);',
      '',
    ],
    [
      'a policy overlooked that is new',
      'policy/live-parts.ts',
      'for (const part of [group.part, ...this.#combinedOf(group)]) part?.add(policy);',
      '',
    ],
    [
      'parts kept that are others now',
      'policy/authorize.ts',
      'if (others.includes(true)) this.#sets = new WeakMap();',
      '',
    ],
    [
      'a rule left in one of its lists',
      'policy/rule-index.ts',
      'for (const condition of conditionsOf(rule)) this.#unfile(rule, condition);',
      'for (const condition of conditionsOf(rule).slice(0, 1)) this.#unfile(rule, condition);',
    ],
    [
      'a list thrown away with the first of its rules',
      'policy/rule-index.ts',
      'if (postings.length === 0) lists.delete(key);',
      'lists.delete(key);',
    ],
    [
      'a rule put where it does not belong',
      'policy/rule-index.ts',
      'if (list[place] !== rule) list.splice(place, 0, rule);',
      'list.push(rule);',
    ],
    [
      'a namespace’s default overlooked',
      'policy/evaluate.ts',
      'return inboundDefault ?? byDefault(layers);',
      'return byDefault(layers);',
    ],
    [
      'a default of Allow that wins over Deny',
      'policy/namespace-access.ts',
      "objects.find(({ inbound }) => inbound === 'deny')",
      "objects.slice(0, 1).find(({ inbound }) => inbound === 'deny')",
    ],
    [
      'a port’s mode overlooked',
      'policy/peer-authentication.ts',
      'if (workload !== undefined && ofPort !== undefined)',
      'if (false)',
    ],
    [
      'the youngest policy preferred',
      'policy/peer-authentication.ts',
      'a.createdAt < b.createdAt',
      'a.createdAt > b.createdAt',
    ],
    [
      'an ALLOW rule kept without its HTTP conditions',
      'kube/translate/policy-rules.ts',
      "context.action !== 'allow' ||",
      'true ||',
    ],
    ['spiffe:// not understood', 'policy/attributes.ts', 'principal.startsWith(scheme) ?', 'false ?'],
    [
      'dry run enforced',
      'policy/policy-set.ts',
      'policies.filter((policy) => !isRehearsed(policy)),',
      'policies,',
    ],
  ])(
    '%s',
    async (name, file, good, bad) => {
      const { code, output } = await differential(mutated(name, file, good, bad), 300_000, 'any');
      expect(output).toContain('1 mismatch');
      expect(code).toBe(1);
    },
    generousMs,
  );
});
