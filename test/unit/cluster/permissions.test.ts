import { describe, expect, it } from '@jest/globals';
import { ruleWithout } from '../../cluster/support/permissions.ts';

const rule = { apiGroups: [''], resources: ['pods', 'services'], verbs: ['list', 'watch'] };

describe('a rule without one verb on one resource', () => {
  it('grants everything else that it did', () => {
    expect(ruleWithout(rule, { apiGroup: '', resource: 'services', verb: 'watch' })).toEqual([
      { ...rule, resources: ['pods'] },
      { ...rule, resources: ['services'], verbs: ['list'] },
    ]);
  });

  it('is gone when it granted nothing else', () => {
    const only = { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create'] };
    expect(ruleWithout(only, { apiGroup: 'events.k8s.io', resource: 'events', verb: 'create' })).toEqual([]);
  });

  it('is as it was when it did not grant that', () => {
    expect(ruleWithout(rule, { apiGroup: 'apps', resource: 'services', verb: 'watch' })).toEqual([rule]);
    expect(ruleWithout(rule, { apiGroup: '', resource: 'nodes', verb: 'watch' })).toEqual([rule]);
  });
});
