/**
 * The commands that list what the nodes know of one kind of thing: they differ in what they ask for, the rows they
 * make of the answers, and how a row reads. All find the nodes, filter, print and decide the exit status alike.
 */
import type { DocumentHead } from '../telemetry/admin-api.ts';
import {
  type CommandGroup,
  examples,
  type ReadOptions,
  withNamespace,
  withNodes,
  withOutput,
} from './command.ts';
import { exitCodesHelp } from './exit-codes.ts';
import { type NodeListing, printNodeListing } from './listing.ts';
import { askNodes } from './nodes.ts';
import type { Column } from './table.ts';

type ListDocument = DocumentHead<string> & { readonly items: readonly unknown[] };

interface ListCommand<List extends ListDocument, Row> extends Pick<NodeListing<Row>, 'name' | 'finding'> {
  readonly command: string;
  readonly description: string;
  readonly examples: readonly string[];
  /** Path of the admin API. */
  readonly target: string;
  readonly kind: List['kind'];
  /** Of the answers of all nodes, one each. */
  readonly rows: (answers: readonly List[]) => readonly Row[];
  /** Where a row has one: adds `-n`. */
  readonly namespace?: (row: Row) => string;
  readonly columns: (now: number) => readonly Column<Row>[];
  /** Why there is nothing in `namespace`, or anywhere; `known`: rows in all namespaces. */
  readonly empty: (namespace: string | undefined, known: number) => string;
}

type Options = ReadOptions & { readonly namespace?: string };

export const listCommand =
  <List extends ListDocument, Row>(list: ListCommand<List, Row>): CommandGroup =>
  (program, context) => {
    const command = program
      .command(list.command)
      .description(list.description)
      .addHelpText('after', examples(...list.examples))
      .addHelpText('after', exitCodesHelp);
    const withOptions = withOutput(withNodes(command));
    (list.namespace === undefined ? withOptions : withNamespace(withOptions)).action(
      context.action(async (options: Options) => {
        const { documents, unreachable } = await askNodes<List>(context.env, options, list);
        const all = list.rows(documents);
        return printNodeListing(context.screen(), options.output, {
          ...list,
          rows: all.filter((row) => isIn(options.namespace, list.namespace?.(row))),
          columns: list.columns(context.env.clock.now()),
          unreachable,
          empty: list.empty(options.namespace, all.length),
        });
      }),
    );
  };

const isIn = (wanted: string | undefined, namespace: string | undefined): boolean =>
  wanted === undefined || wanted === namespace;

/** What all nodes said, one after the other. */
export const itemsOf = <Item>(answers: readonly { readonly items: readonly Item[] }[]): readonly Item[] =>
  answers.flatMap(({ items }) => items);
