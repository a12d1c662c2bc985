/**
 * The node's end of `inspect`: reads questions from standard input and answers them one by one, until the input ends.
 * The asker may be gone without a word, so silence ends it too.
 */
import { asMeshError, MeshError } from '../../base/errors.ts';
import { hostChecks } from '../checks.ts';
import type { CliEnv } from '../env.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { nodePins, nodeSocket } from '../places.ts';
import { countRuns } from '../run-counts.ts';
import { LineReader } from './lines.ts';
import {
  type AnswerTo,
  errorToWire,
  greeting,
  type InspectAnswer,
  type InspectRequest,
  mapToWire,
  parseRequest,
  programToWire,
} from './protocol.ts';

/** Longer than anybody who follows pauses between two questions. */
const maxSilenceMs = 60_000;
const maxQuestionBytes = 1024 * 1024;

export async function serveInspection(env: CliEnv): Promise<ExitCode> {
  write(env, greeting(env.version));
  for await (const line of questions(env)) write(env, await answer(env, line));
  return exitCodes.clean;
}

const write = (env: CliEnv, value: object): void => env.stdout.write(`${JSON.stringify(value)}\n`);

async function answer(env: CliEnv, line: string): Promise<InspectAnswer> {
  try {
    return { answer: await find(env, parseRequest(line)) };
  } catch (thrown) {
    return { error: errorToWire(asMeshError(thrown)) };
  }
}

async function find(env: CliEnv, request: InspectRequest): Promise<AnswerTo<InspectRequest['ask']>> {
  switch (request.ask) {
    case 'admin': {
      const { ask: _ask, timeoutMs, ...rest } = request;
      const signal = AbortSignal.any([env.interrupted, AbortSignal.timeout(timeoutMs)]);
      return { ...(await env.adminRequest(nodeSocket, { ...rest, signal })) };
    }
    case 'maps':
      return (await pinned(env)).maps(nodePins).map(mapToWire);
    case 'dump':
      return (await pinned(env)).dump(nodePins, request.map).map((row) => ({ ...row }));
    case 'programs':
      return (await pinned(env)).programs(nodePins).map(programToWire);
    case 'runs': {
      await pinned(env);
      return (await countRuns(env, nodePins, request.forMs, env.interrupted)).map(programToWire);
    }
    case 'checks':
      return (await hostChecks(env, 'node')).map((check) => ({ ...check }));
  }
}

async function pinned(env: CliEnv): Promise<CliEnv['datapath']> {
  if ((await env.files.list(nodePins)).length > 0) return env.datapath;
  throw new MeshError('UNAVAILABLE', `no BPF object of the mesh is pinned in ${nodePins}`, {
    hint: 'nothing is captured on this node; look at: mesh-ebpf doctor',
  });
}

async function* questions(env: CliEnv): AsyncGenerator<string> {
  const lines: string[] = [];
  const reader = new LineReader(maxQuestionBytes, (line) => lines.push(line));
  const chunks = env.input()[Symbol.asyncIterator]();
  for (;;) {
    const next = await beforeSilence(env, chunks.next());
    if (next === undefined || next.done === true) return;
    const fits = reader.push(Buffer.from(next.value));
    yield* lines.splice(0);
    if (!fits) return;
  }
}

/** `awaited`, or undefined when it takes too long or Ctrl-C comes first. */
async function beforeSilence<T>({ clock, interrupted }: CliEnv, awaited: Promise<T>): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const giveUp = (): void => resolve(undefined);
  const cancel = clock.after(maxSilenceMs, giveUp);
  interrupted.addEventListener('abort', giveUp, { once: true });
  if (interrupted.aborted) giveUp();
  try {
    return await Promise.race([awaited, promise]);
  } finally {
    cancel();
    interrupted.removeEventListener('abort', giveUp);
  }
}
