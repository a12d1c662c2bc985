/** What could follow on the words typed so far. Pure. */
import type { CompletionNode, CompletionOption } from './completion-scripts.ts';

export interface Offer {
  readonly text: string;
  readonly summary: string;
}

export interface Offers {
  readonly offers: readonly Offer[];
  /** It may be a file as well. */
  readonly files: boolean;
}

/** `words`: those after the program's name; the last is the one being typed, perhaps empty. */
export function complete(root: CompletionNode, words: readonly string[]): Offers {
  const current = words.at(-1) ?? '';
  const { node, awaiting } = walk(root, words.slice(0, -1));
  const starting = (all: readonly Offer[]): readonly Offer[] =>
    all.filter(({ text }) => text.startsWith(current));
  if (awaiting !== undefined) {
    const { choices } = awaiting;
    return { offers: starting(choices.map(plain)), files: choices.length === 0 };
  }
  if (current.startsWith('-')) {
    const options = node.options.flatMap(({ flags, summary }) => flags.map((text) => ({ text, summary })));
    return { offers: starting(options), files: false };
  }
  const children = node.children.map(({ name, summary }) => ({ text: name, summary }));
  return { offers: starting([...children, ...node.choices.map(plain)]), files: false };
}

/** The command that the words lead to, and the option whose value comes next. */
function walk(
  root: CompletionNode,
  words: readonly string[],
): { readonly node: CompletionNode; readonly awaiting: CompletionOption | undefined } {
  let node = root;
  let awaiting: CompletionOption | undefined;
  for (const word of words) {
    if (awaiting !== undefined) {
      awaiting = undefined;
      continue;
    }
    awaiting = node.options.find(({ flags, takesValue }) => takesValue && flags.includes(word));
    if (awaiting === undefined) node = node.children.find(({ name }) => name === word) ?? node;
  }
  return { node, awaiting };
}

const plain = (text: string): Offer => ({ text, summary: '' });
