import { describe, expect, it } from '@jest/globals';
import type { AuthorityStatus } from '../../../src/controller/ca/authority.ts';
import { upkeepNeeds } from '../../../src/controller/upkeep.ts';
import { trustDomain } from '../identity/support/fake-ca.ts';

const dayMs = 86_400_000;
type Lineage = AuthorityStatus['lineages'][number];

const lineage = (overrides: Partial<Lineage> = {}): Lineage => ({
  root: '',
  intermediate: '',
  issuing: true,
  issuesFrom: 0,
  trustedUntil: undefined,
  rootExpires: 3650 * dayMs,
  intermediateMade: 0,
  intermediateExpires: 360 * dayMs,
  ...overrides,
});
const status = (...lineages: Lineage[]): AuthorityStatus => ({ trustDomain, lineages });

describe('upkeep of the authority', () => {
  it('renews the intermediate when two thirds of its life are over', () => {
    expect(upkeepNeeds(status(lineage()), 239 * dayMs).intermediateDue).toBe(false);
    expect(upkeepNeeds(status(lineage()), 241 * dayMs).intermediateDue).toBe(true);
  });

  it('does not renew an intermediate again and again that only a new root can lengthen', () => {
    const bounded = lineage({ rootExpires: 360 * dayMs });
    expect(upkeepNeeds(status(bounded), 300 * dayMs).intermediateDue).toBe(false);
  });

  it('asks for a new root half a year before the old one ends, and not while one is coming', () => {
    const now = 3500 * dayMs;
    const old = lineage({ intermediateExpires: 3640 * dayMs, intermediateMade: now });
    expect(upkeepNeeds(status(old), 3400 * dayMs).warning).toBeUndefined();
    expect(upkeepNeeds(status(old), now).warning).toContain('expires in 150 days; rotate it now');
    expect(upkeepNeeds(status(old, lineage({ issuing: false })), now).warning).toBeUndefined();
  });
});
