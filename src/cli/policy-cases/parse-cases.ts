/** Files of cases for `policy test`: who connects to what, and what is expected of it. Pure. */
import { type Static, Type } from 'typebox';
import { MeshError } from '../../base/errors.ts';
import { isIpv4, tryParseIp } from '../../base/ip.ts';
import { decode } from '../../kube/decode.ts';
import type { ManifestFile } from '../../kube/parse-manifests.ts';
import { formatField, formatProblem, type Problem, type SourcePosition } from '../../kube/problem.ts';
import { PortNumber } from '../../kube/resources/fields.ts';
import { parseYaml, type YamlDocument } from '../../kube/yaml-documents.ts';

const name = (description: string) => Type.String({ minLength: 1, maxLength: 2000, description });

const CaseSchema = Type.Object({
  name: Type.Optional(name('what the case is about')),
  from: name('who connects, as "mesh-ebpf explain" takes it'),
  to: name('to what, as "mesh-ebpf explain" takes it'),
  port: Type.Optional(PortNumber),
  protocol: Type.Optional(Type.Enum(['TCP', 'UDP'])),
  expect: Type.Enum(['allow', 'deny']),
  by: Type.Optional(name('the policy that has to decide, NAME or NAMESPACE/NAME')),
});
const FileSchema = Type.Array(CaseSchema, { description: 'a list of cases' });

export interface PolicyCase {
  readonly name: string;
  readonly at: SourcePosition;
  readonly from: string;
  /** With its port. */
  readonly to: string;
  readonly expect: 'allow' | 'deny';
  readonly by: string | undefined;
}

/** @throws MeshError INVALID_ARGUMENT with every problem of every file, a line each: `cases.yaml:3:5: [0].expect: …` */
export function parseCases(files: readonly ManifestFile[]): readonly PolicyCase[] {
  const parsed = files.map(parseFile);
  const problems = parsed.flatMap((file) => file.problems);
  if (problems.length > 0) throw new MeshError('INVALID_ARGUMENT', problems.map(formatProblem).join('\n'));
  const cases = parsed.flatMap((file) => file.cases);
  if (cases.length > 0) return cases;
  throw new MeshError('INVALID_ARGUMENT', `there is no case in ${files.map(({ path }) => path).join(', ')}`, {
    hint: 'a file has a list such as: [{ from: shop/web, to: "db.shop:5432", expect: allow }]',
  });
}

interface ParsedFile {
  readonly cases: readonly PolicyCase[];
  readonly problems: readonly Problem[];
}

const problemAt = (position: SourcePosition, field: string, message: string, hint?: string): Problem => ({
  severity: 'error',
  object: undefined,
  position,
  field,
  message,
  hint,
});

function parseFile({ path, text }: ManifestFile): ParsedFile {
  const { documents, problems } = parseYaml(path, text);
  const parsed = documents.map(parseDocument);
  return {
    cases: parsed.flatMap(({ cases }) => cases),
    problems: [
      ...problems.map(({ position, field, message }) => problemAt(position, field, message)),
      ...parsed.flatMap((document) => document.problems),
    ],
  };
}

function parseDocument(document: YamlDocument): ParsedFile {
  const decoded = decode(FileSchema, document.value, { strict: true });
  const problems = decoded.faults.map(({ path, at, message, hint }) =>
    problemAt(document.locate(path, at), formatField(path), message, hint),
  );
  if (problems.length > 0) return { cases: [], problems };
  const given = decoded.value as Static<typeof FileSchema>;
  const twice = given.flatMap((one, i) =>
    one.port !== undefined && hasPort(one.to)
      ? [problemAt(document.locate([i, 'port'], 'value'), `[${i}].port`, `"${one.to}" has a port already`)]
      : [],
  );
  return { cases: given.map((one, i) => policyCase(one, document.locate([i], 'value'))), problems: twice };
}

const hasPort = (to: string): boolean => tryParseIp(to) === undefined && /:\d+(\/\w+)?$/.test(to);

function policyCase(given: Static<typeof CaseSchema>, at: SourcePosition): PolicyCase {
  const { from, expect, by } = given;
  const to = target(given);
  return { name: given.name ?? `${from} -> ${to}`, at, from, to, expect, by };
}

function target({ to, port, protocol }: Static<typeof CaseSchema>): string {
  const ip = tryParseIp(to);
  const host = ip !== undefined && !isIpv4(ip) ? `[${to}]` : to;
  return `${host}${port === undefined ? '' : `:${port}`}${protocol === 'UDP' ? '/udp' : ''}`;
}
