/**
 * Compares the evaluator in use with Istio's documentation (`documented.ts`) on random policies and connections:
 *
 *     node test/fuzz/policy/main.ts [CASES [SEED [any]]]
 *
 * A case is one connection judged under one set of policies. Prints `N cases, 0 mismatches`; or the smallest set that
 * it finds on which the two disagree (the first one with `any`), with the seed to repeat it.
 */
import * as fc from 'fast-check';
import { type CompiledAnswer, compiledAnswers, rememberingAnswers } from './compiled.ts';
import { type Connection, documentedAnswer, type World } from './documented.ts';
import { anyConnection, anyWorld } from './worlds.ts';

const connectionsPerWorld = 90;
/** So many of them are asked again in a mesh that was another world before. */
const askedAgain = 10;

const [casesText = '1000000', seedText = String(Date.now() % 2 ** 31), which = 'smallest'] =
  process.argv.slice(2);
const numRuns = Math.ceil(Number(casesText) / (connectionsPerWorld + askedAgain));
const seed = Number(seedText);
const tally = { cases: 0, allowed: 0 };
const remembering = rememberingAnswers();

function compare(world: World, connections: readonly Connection[]): void {
  const fresh = compiledAnswers(world);
  connections.forEach((connection) => compareOne(world, connection, fresh(connection)));
  const again = remembering(world);
  connections.slice(0, askedAgain).forEach((connection) => compareOne(world, connection, again(connection)));
}

function compareOne(world: World, connection: Connection, { policy, ...compiled }: CompiledAnswer): void {
  const documented = documentedAnswer(world, connection);
  tally.cases++;
  if (documented.allowed) tally.allowed++;
  if (JSON.stringify(documented) === JSON.stringify(compiled)) return;
  throw new Error(JSON.stringify({ connection, documented, compiled, policy }, undefined, 1));
}

const connections = fc.array(anyConnection, {
  minLength: connectionsPerWorld,
  maxLength: connectionsPerWorld,
});
process.stdout.write(`seed ${seed}\n`);
const result = fc.check(fc.property(anyWorld, connections, compare), {
  numRuns,
  seed,
  endOnFailure: which === 'any',
});

if (result.failed) {
  const [world] = result.counterexample ?? [];
  process.stdout.write(`${JSON.stringify(world, undefined, 1)}\n${String(result.errorInstance)}\n`);
  process.stdout.write(`1 mismatch; repeat it with: node test/fuzz/policy/main.ts ${casesText} ${seed}\n`);
  process.exitCode = 1;
} else {
  const share = ((tally.allowed / tally.cases) * 100).toFixed(1);
  process.stdout.write(`${share} % allowed\n${tally.cases} cases, 0 mismatches\n`);
}
