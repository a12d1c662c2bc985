/** Spellings that work here and not elsewhere. */
import type { Check } from './context.ts';
import { finding } from './finding.ts';
import { fieldOf, objectOf, placedMatches } from './written.ts';

export const spelling: Check = ({ policies }) =>
  policies.flatMap((policy) =>
    placedMatches(policy).flatMap((placed) =>
      (['principals', 'notPrincipals'] as const).flatMap((field) =>
        (placed.match[field] ?? []).flatMap((value, i) => {
          if (!value.startsWith('spiffe://')) return [];
          const message = 'spiffe:// is accepted here; Istio’s ztunnel compares without it and never matches';
          const hint = `write "${value.slice('spiffe://'.length)}"`;
          return [
            finding('spiffe-prefix', objectOf(policy), `${fieldOf(placed, field)}[${i}]`, message, hint),
          ];
        }),
      ),
    ),
  );
