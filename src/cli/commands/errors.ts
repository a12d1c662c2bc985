/** `errors [CODE]`: what the codes in logs, metrics and answers mean. */
import type { Command } from 'commander';
import { type ErrorCode, errorCodes, MeshError } from '../../base/errors.ts';
import { type CommandContext, examples, type OutputOptions, withOutput } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { listDocument } from '../listing.ts';
import { printListing } from '../output.ts';

interface Row {
  readonly code: string;
  readonly meaning: string;
}

export function addErrorsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('errors')
    .argument('[code]', 'such as DIAL_FAILED')
    .description('explain the error codes found in logs, metrics and answers')
    .addHelpText('after', examples('errors', 'errors PEER_IDENTITY'));
  withOutput(command).action(
    context.action(async (options: OutputOptions, [code]) => {
      const rows = code === undefined ? allRows() : [rowOf(code)];
      printListing(context.screen(), options.output, {
        rows,
        columns: [
          { header: 'CODE', cell: (row: Row) => row.code },
          { header: 'MEANING', cell: (row: Row) => row.meaning },
        ],
        name: (row) => row.code,
        document: listDocument('ErrorCodeList', { items: rows }, []),
        empty: '',
      });
      return await Promise.resolve(exitCodes.clean);
    }),
  );
}

const allRows = (): readonly Row[] =>
  Object.entries(errorCodes).map(([code, meaning]) => ({ code, meaning }));

function rowOf(text: string): Row {
  const code = text.toUpperCase();
  if (isCode(code)) return { code, meaning: errorCodes[code] };
  const similar = Object.keys(errorCodes).filter((known) => known.includes(code) || code.includes(known));
  throw new MeshError('INVALID_ARGUMENT', `there is no error code "${text}"`, {
    hint: similar.length === 0 ? 'list them with: mesh-ebpf errors' : `did you mean ${similar.join(' or ')}?`,
  });
}

const isCode = (code: string): code is ErrorCode => Object.hasOwn(errorCodes, code);
