/**
 * What a header list must look like (RFC 9113 §8.2, §8.3, §8.5). Each check returns what is wrong in a few words, or
 * undefined; what the words mean for the stream is the session's business.
 */
import type { HeaderField, HeaderList } from './contract.ts';

/** Fields about one hop of HTTP/1.1; their presence makes a message malformed (§8.2.2). */
const connectionSpecific = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

const requestPseudoFields = new Set([':method', ':scheme', ':authority', ':path']);
const responsePseudoFields = new Set([':status']);
const noPseudoFields: ReadonlySet<string> = new Set();

/** A request. CONNECT has exactly `:method` and `:authority` (§8.5); others have method, scheme and path. */
export function checkRequest(headers: HeaderList): string | undefined {
  const problem = checkFields(headers, requestPseudoFields);
  if (problem !== undefined) return problem;
  const has = (name: string): boolean => headers.some(([field]) => field === name);
  const method = headers.find(([name]) => name === ':method')?.[1];
  if (method === undefined || method === '') return 'no :method';
  if (method === 'CONNECT') {
    if (has(':scheme') || has(':path')) return 'CONNECT with :scheme or :path';
    return has(':authority') ? undefined : 'CONNECT without :authority';
  }
  return has(':scheme') && has(':path') ? undefined : 'no :scheme or no :path';
}

/** A response: exactly one `:status` of three digits. 101 does not exist in HTTP/2 (§8.6). */
export function checkResponse(headers: HeaderList): string | undefined {
  const problem = checkFields(headers, responsePseudoFields);
  if (problem !== undefined) return problem;
  const status = headers.find(([name]) => name === ':status')?.[1];
  return status !== undefined && /^[1-9]\d\d$/.test(status) && status !== '101'
    ? undefined
    : 'no valid :status';
}

export const isInterim = (headers: HeaderList): boolean =>
  headers.some(([name, value]) => name === ':status' && value.startsWith('1'));

/** Trailers have no pseudo-fields (§8.1). */
export const checkTrailers = (headers: HeaderList): string | undefined =>
  checkFields(headers, noPseudoFields);

function checkFields(headers: HeaderList, pseudoFields: ReadonlySet<string>): string | undefined {
  const seen = new Set<string>();
  let regular = false;
  for (const field of headers) {
    const [name] = field;
    if (name.startsWith(':')) {
      if (regular) return `${name} after a regular field`;
      if (!pseudoFields.has(name)) return 'unexpected pseudo-field';
      if (seen.has(name)) return `two ${name}`;
      seen.add(name);
    } else regular = true;
    const problem = checkField(field);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** §8.2.1: no capitals, no control characters, nothing that could break out of a header line or a log line. */
function checkField([name, value]: HeaderField): string | undefined {
  if (!/^:?[!-9;-@[-~]+$/.test(name)) return 'illegal characters in a field name';
  if (!isFieldValue(value)) return `illegal characters in the value of ${name}`;
  if (connectionSpecific.has(name)) return `connection-specific field ${name}`;
  if (name === 'te' && value !== 'trailers') return 'te other than trailers';
  return undefined;
}

/** Octets but control characters (except a tab inside), and no space at either end. */
function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) return false;
  }
  return !isBlank(value.charCodeAt(0)) && !isBlank(value.charCodeAt(value.length - 1));
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09;
