/**
 * What the CLI outside a cluster and the `mesh-ebpf inspect` it starts on a node say to each other: a line of JSON
 * each. The node greets; then each question has one answer, in order. Both ends may be of different versions, and the
 * node may be hostile: everything is checked where it arrives.
 */
import { type Static, type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';
import { errorCodes, type ErrorCode, MeshError } from '../../base/errors.ts';
import type { MapSummary } from '../../datapath/inspect/maps.ts';
import type { AttachedProgram } from '../../datapath/inspect/programs.ts';
import { adminApiVersion } from '../../telemetry/admin-api.ts';

/** More than any answer of a node that is well. */
export const maxAnswerBytes = 256 * 1024 * 1024;

const greetingSchema = Type.Object({
  apiVersion: Type.Literal(adminApiVersion),
  kind: Type.Literal('InspectSession'),
  /** Of the node's program. */
  version: Type.String({ maxLength: 100 }),
});
export type Greeting = Static<typeof greetingSchema>;

export const greeting = (version: string): Greeting => ({
  apiVersion: adminApiVersion,
  kind: 'InspectSession',
  version,
});

/** Runs of programs are counted for so long at most: it slows each of them down a little. */
export const maxCountMs = 3_600_000;

/** How long the node may take; the asker has gone by then. */
const timeoutMs = Type.Number({ minimum: 0, maximum: 86_400_000 });
const requestSchema = Type.Union([
  Type.Object({
    ask: Type.Literal('admin'),
    method: Type.Union([Type.Literal('GET'), Type.Literal('PUT')]),
    target: Type.String(),
    body: Type.Optional(Type.String()),
    timeoutMs,
  }),
  Type.Object({ ask: Type.Literal('maps'), timeoutMs }),
  Type.Object({ ask: Type.Literal('dump'), map: Type.String(), timeoutMs }),
  Type.Object({ ask: Type.Literal('programs'), timeoutMs }),
  Type.Object({
    ask: Type.Literal('runs'),
    forMs: Type.Number({ minimum: 0, maximum: maxCountMs }),
    timeoutMs,
  }),
  Type.Object({ ask: Type.Literal('checks'), timeoutMs }),
]);
export type InspectRequest = Static<typeof requestSchema>;

const answerSchema = Type.Union([
  Type.Object({ answer: Type.Unknown() }),
  Type.Object({
    error: Type.Object({
      code: Type.String(),
      message: Type.String(),
      hint: Type.Union([Type.String(), Type.Null()]),
    }),
  }),
]);
export type InspectAnswer = Static<typeof answerSchema>;

/** 64 bits do not fit a JSON number. */
const decimal = Type.String({ pattern: '^[0-9]{1,20}$' });

const programs = Type.Array(
  Type.Object({
    program: Type.String(),
    attachPoint: Type.String(),
    purpose: Type.String(),
    attached: Type.Boolean(),
    target: Type.String(),
    tag: Type.Optional(Type.String()),
    runs: decimal,
    totalNs: Type.Optional(decimal),
    averageNs: Type.Optional(Type.Number()),
    isCounting: Type.Optional(Type.Boolean()),
  }),
);

/** What each question is answered with. */
export const answerSchemas = {
  admin: Type.Object({ status: Type.Integer(), document: Type.Unknown() }),
  maps: Type.Array(
    Type.Object({
      name: Type.String(),
      purpose: Type.String(),
      type: Type.String(),
      entries: Type.Optional(Type.Number()),
      capacity: Type.Optional(Type.Number()),
      whenFull: Type.String(),
      pinned: Type.Boolean(),
      nearlyFull: Type.Boolean(),
    }),
  ),
  dump: Type.Array(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]))),
  programs,
  runs: programs,
  checks: Type.Array(
    Type.Object({
      name: Type.String(),
      result: Type.Union([
        Type.Literal('ok'),
        Type.Literal('warning'),
        Type.Literal('failed'),
        Type.Literal('unknown'),
      ]),
      found: Type.String(),
      cost: Type.Union([Type.String(), Type.Null()]),
      next: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
} as const satisfies Record<InspectRequest['ask'], TSchema>;

export type AnswerTo<Ask extends InspectRequest['ask']> = Static<(typeof answerSchemas)[Ask]>;

export const mapToWire = ({ entries, capacity, ...rest }: MapSummary): AnswerTo<'maps'>[number] => ({
  ...rest,
  ...(entries !== undefined && { entries }),
  ...(capacity !== undefined && { capacity }),
});

export const mapFromWire = (map: AnswerTo<'maps'>[number]): MapSummary => ({
  ...map,
  entries: map.entries,
  capacity: map.capacity,
});

export const programToWire = (program: AttachedProgram): AnswerTo<'programs'>[number] => {
  const { tag, averageNs, isCounting, runs, totalNs, ...rest } = program;
  return {
    ...rest,
    runs: String(runs),
    totalNs: String(totalNs),
    ...(tag !== undefined && { tag }),
    ...(averageNs !== undefined && { averageNs }),
    ...(isCounting !== undefined && { isCounting }),
  };
};

export const programFromWire = ({
  runs,
  totalNs = '0',
  tag,
  averageNs,
  isCounting,
  ...rest
}: AnswerTo<'programs'>[number]): AttachedProgram => ({
  ...rest,
  runs: BigInt(runs),
  totalNs: BigInt(totalNs),
  tag,
  averageNs,
  isCounting,
});

/** @throws MeshError INVALID_ARGUMENT */
export function parseRequest(line: string): InspectRequest {
  const value = parseJson(line);
  if (Value.Check(requestSchema, value)) return value;
  throw new MeshError('INVALID_ARGUMENT', 'this is no question that mesh-ebpf inspect knows', {
    hint: 'the program that asks is of another version',
  });
}

/** @throws MeshError UNSUPPORTED */
export function parseGreeting(line: string): Greeting {
  const value = parseJson(line);
  if (Value.Check(greetingSchema, value)) return value;
  throw otherVersion('it does not greet as this version does');
}

/** The answer to a question of this kind. @throws MeshError the node's own, or UNSUPPORTED */
export function parseAnswer<Ask extends InspectRequest['ask']>(ask: Ask, line: string): AnswerTo<Ask> {
  const value = parseJson(line);
  if (!Value.Check(answerSchema, value)) throw otherVersion('it answers nothing that this version knows');
  if ('error' in value) throw errorFromWire(value.error);
  const { answer } = value;
  if (Value.Check(answerSchemas[ask], answer)) return answer;
  throw otherVersion(`its answer about ${ask} is not what this version knows`);
}

const otherVersion = (what: string): MeshError =>
  new MeshError('UNSUPPORTED', `the node is not understood: ${what}`, {
    hint: 'it runs another version of mesh-ebpf, or something else; compare "mesh-ebpf version" on both sides',
  });

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

interface WireError {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

export const errorToWire = ({ code, message, hint }: MeshError): WireError => ({
  code,
  message,
  hint: hint ?? null,
});

export const errorFromWire = ({ code, message, hint }: WireError): MeshError =>
  new MeshError(
    Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'INTERNAL',
    message,
    hint === null ? {} : { hint },
  );
