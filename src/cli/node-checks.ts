/** What a node's own word, or its silence, says to `doctor`. Pure. */
import type { Problem, StatusDocument } from '../telemetry/admin-api.ts';
import type { Check } from './checks.ts';
import type { Unreachable } from './node-handle.ts';

export function statusChecks(name: string, { problems, readiness, pods }: StatusDocument): readonly Check[] {
  if (!readiness.ready) {
    const found = `not ready: ${readiness.pending.join(', ')}`;
    return [{ name, result: 'failed', found, cost: 'pods that start now wait', next: null }];
  }
  if (problems.length > 0) return problems.map((problem) => problemCheck(name, problem));
  const found = `${pods.enrolled}/${pods.expected} labelled pods enrolled`;
  return [{ name, result: 'ok', found, cost: null, next: null }];
}

/** By code: what is no reason for a script to stop. */
const costs: Readonly<Record<string, string>> = {
  BPF_UNTRIED: 'what this kernel does otherwise than expected would show in pods first',
};

const problemCheck = (name: string, { code, subject, message, hint }: Problem): Check => ({
  name,
  result: costs[code] === undefined ? 'failed' : 'warning',
  found: `${subject}: ${message}`,
  cost: costs[code] ?? null,
  next: hint,
});

export const unreachableCheck = (name: string, { error }: Unreachable): Check => ({
  name,
  result: 'unknown',
  found: error.message,
  cost: 'new connections of its enrolled pods are refused if it is down',
  next: error.hint ?? null,
});
