/** Findings of lint as documents tell them. */
import type { PolicyFindingItem } from './admin-api.ts';

interface Found {
  readonly code: string;
  readonly severity: PolicyFindingItem['severity'];
  readonly object: { readonly kind: string; readonly namespace: string; readonly name: string } | undefined;
  readonly field: string;
  readonly position: { readonly file: string; readonly line: number; readonly column: number } | undefined;
  readonly message: string;
  readonly hint: string | undefined;
}

export const findingItem = ({ object, position, hint, ...found }: Found): PolicyFindingItem => ({
  code: found.code,
  severity: found.severity,
  kind: object?.kind ?? null,
  namespace: object?.namespace ?? null,
  name: object?.name ?? null,
  field: found.field,
  file: position?.file ?? null,
  line: position?.line ?? null,
  column: position?.column ?? null,
  message: found.message,
  hint: hint ?? null,
});
