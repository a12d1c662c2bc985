/** Where a field of an object is written, found again in the texts: nobody keeps that for objects that are in order. */
import { itemsOf, type ManifestFile } from './parse-manifests.ts';
import { type FieldPath, type ObjectReference, parseField, type SourcePosition } from './problem.ts';
import { parseYaml, type YamlDocument } from './yaml-documents.ts';

/** The place of `field`, or of its nearest written ancestor; undefined for an object that is in none of the files. */
export type FieldLocator = (object: ObjectReference, field: string) => SourcePosition | undefined;

interface Written {
  readonly document: YamlDocument;
  readonly path: FieldPath;
}

/** Of two objects of one name the first counts, as when they are read. */
export function fieldLocator(files: readonly ManifestFile[]): FieldLocator {
  let known: Map<string, Written> | undefined;
  return (object, field) => {
    known ??= writtenIn(files);
    const written = known.get(keyOf(object));
    return written?.document.locate([...written.path, ...parseField(field)], 'value');
  };
}

function writtenIn(files: readonly ManifestFile[]): Map<string, Written> {
  const known = new Map<string, Written>();
  for (const { path, text } of files) {
    for (const document of parseYaml(path, text).documents) {
      for (const item of itemsOf(document.value)) {
        const key = keyOf(looseReference(item.value));
        if (!known.has(key)) known.set(key, { document, path: item.path });
      }
    }
  }
  return known;
}

const keyOf = ({ kind, namespace, name }: ObjectReference): string => `${kind}/${namespace}/${name}`;

/** Whatever it is: only names that are asked for are found. */
function looseReference(value: unknown): ObjectReference {
  const { kind, metadata } = (value ?? {}) as { kind?: unknown; metadata?: unknown };
  const { name, namespace = 'default' } = (metadata ?? {}) as { name?: unknown; namespace?: unknown };
  return { kind: String(kind), namespace: String(namespace), name: String(name) };
}
