/** The static table of HPACK (RFC 7541 Appendix A). Indices on the wire start at 1. */
import type { HeaderField } from '../contract.ts';

/** One line of the RFC's table a line: name, then its value after a space if it has one. */
const text = `:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`;

function parseLine(line: string): HeaderField {
  const space = line.indexOf(' ');
  return space < 0 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)];
}

export const staticTable: readonly HeaderField[] = text.split('\n').map(parseLine);

/** Index of the first entry with this name. */
export const staticNameIndex: ReadonlyMap<string, number> = new Map(
  staticTable.map(([name], i) => [name, i + 1] as const).toReversed(),
);

/** Index of the entry that is exactly this field, or undefined. */
export function staticFieldIndex(name: string, value: string): number | undefined {
  const first = staticNameIndex.get(name);
  if (first === undefined) return undefined;
  for (let i = first; staticTable[i - 1]?.[0] === name; i++) if (staticTable[i - 1]?.[1] === value) return i;
  return undefined;
}
