import { expect, it } from '@jest/globals';
import { formatField, formatProblem, type Problem } from '../../../src/kube/problem.ts';

const problem: Problem = {
  severity: 'error',
  object: { kind: 'Service', namespace: 'shop', name: 'web' },
  position: { file: 'web.yaml', line: 12, column: 9 },
  field: 'spec.ports[0].port',
  message: 'expected a port',
  hint: 'did you mean 80?',
};

it('writes a problem in one line that editors can jump from', () => {
  expect(formatProblem(problem)).toBe(
    'web.yaml:12:9: service/shop/web: spec.ports[0].port: expected a port (did you mean 80?)',
  );
});

it('leaves out what is not known', () => {
  const bare: Problem = { ...problem, object: undefined, position: undefined, field: '', hint: undefined };
  expect(formatProblem(bare)).toBe('expected a port');
  expect(formatProblem({ ...bare, object: { kind: 'Namespace', namespace: '', name: 'shop' } })).toBe(
    'namespace/shop: expected a port',
  );
});

it('marks warnings', () => {
  expect(formatProblem({ ...problem, severity: 'warning' })).toMatch(/^web\.yaml:12:9: warning: service/);
});

it('writes paths as people do, quoting keys that are no identifiers', () => {
  expect(formatField(['metadata', 'labels', 'istio.io/dataplane-mode'])).toBe(
    'metadata.labels["istio.io/dataplane-mode"]',
  );
  expect(formatField(['items', 0, 'spec'])).toBe('items[0].spec');
  expect(formatField([])).toBe('');
});
