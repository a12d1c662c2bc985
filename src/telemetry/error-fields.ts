/** An error as log fields: what a MeshError says and the chain of its causes; a stack only where it means a bug. */
import { MeshError } from '../base/errors.ts';

const maxCauses = 8;

export function errorFields(error: Error): Readonly<Record<string, unknown>> {
  const causes = causesOf(error);
  if (!(error instanceof MeshError)) return { message: error.message, ...causes, stack: error.stack };
  return {
    code: error.code,
    message: error.message,
    ...(error.hint !== undefined && { hint: error.hint }),
    ...causes,
    ...(error.code === 'INTERNAL' && { stack: error.stack }),
    ...error.details,
  };
}

function causesOf(error: Error): { readonly causes?: readonly string[] } {
  const causes: string[] = [];
  for (let { cause } = error; cause instanceof Error && causes.length < maxCauses; { cause } = cause) {
    causes.push(cause.message);
  }
  return causes.length === 0 ? {} : { causes };
}
