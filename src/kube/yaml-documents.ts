/**
 * YAML text to plain values that remember where each field was written. Bounded against hostile or accidental
 * input: size, number of documents, nesting depth and alias expansion. JSON is YAML, so it goes through here too.
 * Knows nothing of Kubernetes.
 */
import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  Parser,
  visit,
  type YAMLMap,
} from 'yaml';
import { textPositions } from './line-starts.ts';
import { type FieldPath, formatField, type SourcePosition } from './problem.ts';

export const maxFileBytes = 1024 * 1024;
export const maxDocuments = 1000;
/** Each use of an anchor counts with all it expands to. */
const maxAliasCount = 100;

export interface TextProblem {
  readonly position: SourcePosition;
  /** '' where the text itself, not a field, is at fault. */
  readonly field: string;
  readonly message: string;
}

/** One document: its value, and the place of any path in it. */
export interface YamlDocument {
  readonly value: unknown;
  /** The place of the value or key at `path`, or of its nearest written ancestor. */
  locate(path: FieldPath, at: 'key' | 'value'): SourcePosition;
}

export interface ParsedText {
  /** Documents that could be read; empty ones are left out. */
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly TextProblem[];
}

export function parseYaml(file: string, text: string): ParsedText {
  const tooBig = sizeProblem(file, text);
  if (tooBig !== undefined) return { documents: [], problems: [tooBig] };
  const at = textPositions(text);
  const positionAt = (offset: number): SourcePosition => ({ file, ...at(offset) });
  const documents: YamlDocument[] = [];
  const problems: TextProblem[] = [];
  let count = 0;
  try {
    for (const document of compose(text)) {
      if (++count > maxDocuments) throw new RangeError(`more than ${maxDocuments} documents in one file`);
      const found = documentProblems(document, positionAt);
      problems.push(...found);
      if (found.length > 0 || document.contents === null) continue;
      const value: unknown = document.toJS({ maxAliasCount });
      if (value !== null) documents.push({ value, locate: locator(document, positionAt) });
    }
  } catch (thrown) {
    // The parser throws for exhausted limits only (alias expansion, nesting), and says which.
    problems.push({ position: positionAt(0), field: '', message: plainMessage(thrown) });
  }
  return { documents, problems };
}

function sizeProblem(file: string, text: string): TextProblem | undefined {
  const position = { file, line: 1, column: 1 };
  const bytes = Buffer.byteLength(text);
  if (bytes <= maxFileBytes) return undefined;
  return { position, field: '', message: `the file has ${bytes} bytes: at most ${maxFileBytes} are read` };
}

function* compose(text: string): Generator<Document.Parsed> {
  // Duplicate keys are found below: the composer's own check takes quadratic time.
  const composer = new Composer({ uniqueKeys: false, merge: true, logLevel: 'error' });
  yield* composer.compose(new Parser().parse(text));
}

function documentProblems(
  document: Document.Parsed,
  positionAt: (offset: number) => SourcePosition,
): TextProblem[] {
  // One a line: what follows on the same line is mostly the parser's confusion over the first.
  const syntax = new Map<number, TextProblem>();
  for (const error of document.errors) {
    const position = positionAt(error.pos[0]);
    if (syntax.has(position.line)) continue;
    syntax.set(position.line, { position, field: '', message: plainMessage(error) });
  }
  return syntax.size > 0 ? [...syntax.values()] : duplicateKeys(document, positionAt);
}

function duplicateKeys(
  document: Document.Parsed,
  positionAt: (offset: number) => SourcePosition,
): TextProblem[] {
  const problems: TextProblem[] = [];
  visit(document, {
    Map(_, map) {
      const seen = new Map<unknown, number>();
      for (const { key } of map.items) {
        if (!isScalar(key) || key.value === '<<') continue;
        const name = key.value;
        const first = seen.get(name);
        const offset = startOf(key);
        if (first === undefined) seen.set(name, offset);
        else {
          const message = `the key is given twice, first in line ${positionAt(first).line}`;
          problems.push({ position: positionAt(offset), field: formatField([String(name)]), message });
        }
      }
    },
  });
  return problems;
}

/** The first line of a parser's message; the stack is exhausted by nesting alone. */
function plainMessage(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (message.startsWith('Maximum call stack')) return 'nested too deeply';
  return message.split('\n')[0] ?? message;
}

const startOf = (node: Node): number => node.range?.[0] ?? 0;

function locator(
  document: Document.Parsed,
  positionAt: (offset: number) => SourcePosition,
): YamlDocument['locate'] {
  return (path, at) => {
    let node: Node | undefined = document.contents ?? undefined;
    let place = node;
    for (const [i, step] of path.entries()) {
      const resolved: Node | undefined = isAlias(node) ? node.resolve(document) : node;
      const found = isMap(resolved)
        ? pairOf(resolved, step)
        : isSeq(resolved)
          ? item(resolved, step)
          : undefined;
      if (found === undefined) break;
      const wanted = i === path.length - 1 && at === 'key' ? found.key : (found.value ?? found.key);
      place = wanted ?? place;
      node = found.value;
    }
    return positionAt(place === undefined ? 0 : startOf(place));
  };
}

interface Found {
  readonly key: Node | undefined;
  readonly value: Node | undefined;
}

const asNode = (candidate: unknown): Node | undefined => (isNode(candidate) ? candidate : undefined);

function pairOf(map: YAMLMap, step: string | number): Found | undefined {
  const pair = map.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
  return pair === undefined ? undefined : { key: asNode(pair.key), value: asNode(pair.value) };
}

function item(sequence: { readonly items: readonly unknown[] }, step: string | number): Found | undefined {
  const node = asNode(sequence.items[Number(step)]);
  return node === undefined ? undefined : { key: node, value: node };
}
