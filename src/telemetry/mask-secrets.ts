/**
 * The last line of defence against secrets in logs: fields whose name says secret, and values that look like a
 * private key or a bearer token, are masked at any depth. Errors become fields on the way. Code must not log secrets in the first place.
 */
import { errorFields } from './error-fields.ts';

const secretName = /(?:private.?key|password|passwd|secret|token|authorization|credential|join.?key)/i;
/** What any of the values below contains: a cheap question asked of every string first. */
const suspicious = /PRIVATE KEY|bearer|eyJ/i;
const secretValue =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)|\bbearer\s+[\w.~+/=-]+|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/gi;
const mask = '[redacted]';
/** Deeper structures are not logged by us; past this they are left out rather than looked at. */
const maxDepth = 6;

export function maskSecrets(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return maskRecord(fields, 0);
}

export const maskText = (text: string): string =>
  suspicious.test(text) ? text.replace(secretValue, mask) : text;

function maskRecord(fields: Readonly<Record<string, unknown>>, depth: number): Record<string, unknown> {
  const masked: Record<string, unknown> = {};
  // Not by entries: a pair for each field of each line is a tenth of what the line leaves to collect.
  for (const name of Object.keys(fields)) {
    const value: unknown = fields[name];
    if (value === undefined) continue;
    masked[name] = isText(value) && namesSecret(name) ? mask : maskValue(value, depth + 1);
  }
  return masked;
}

function maskValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return maskText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return maskRecord(errorFields(value), depth);
  if (depth > maxDepth) return '[too deep]';
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.map((item) => maskValue(item, depth + 1));
  return maskRecord(value as Readonly<Record<string, unknown>>, depth);
}

/** Names of fields come from the code, so there are few; remembering them beats matching them. */
function namesSecret(name: string): boolean {
  let secret = knownNames.get(name);
  if (secret === undefined) {
    secret = secretName.test(name);
    if (knownNames.size < maxKnownNames) knownNames.set(name, secret);
  }
  return secret;
}

const knownNames = new Map<string, boolean>();
const maxKnownNames = 1000;

const isText = (value: unknown): boolean => typeof value === 'string' || ArrayBuffer.isView(value);
