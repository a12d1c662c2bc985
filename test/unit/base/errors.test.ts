import { describe, expect, it } from '@jest/globals';
import { asMeshError, errorCodes, MeshError } from '../../../src/base/errors.ts';

describe('a mesh error', () => {
  it('carries its code, its hint, its facts and its cause', () => {
    const cause = new Error('ECONNREFUSED');
    const error = new MeshError('DIAL_FAILED', 'cannot reach 10.0.0.1:15008', {
      hint: 'is the node up?',
      cause,
      details: { port: 15008 },
    });
    expect(error).toMatchObject({
      name: 'MeshError',
      code: 'DIAL_FAILED',
      message: 'cannot reach 10.0.0.1:15008',
      hint: 'is the node up?',
      details: { port: 15008 },
      cause,
    });
  });

  it('is itself when something thrown is made a mesh error', () => {
    const error = new MeshError('TIMEOUT', 'too late');
    expect(asMeshError(error, 'INTERNAL', 'elsewhere')).toBe(error);
  });

  it('wraps anything thrown under the code given', () => {
    const thrown = new Error('no such file');
    expect(asMeshError(thrown, 'NOT_FOUND', 'reading a.yaml')).toMatchObject({
      code: 'NOT_FOUND',
      message: 'reading a.yaml: no such file',
      cause: thrown,
    });
    expect(asMeshError('just text')).toMatchObject({ code: 'INTERNAL', message: 'just text' });
  });

  it('explains every code in one sentence for operators', () => {
    for (const [code, sentence] of Object.entries(errorCodes)) {
      expect(code).toMatch(/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/);
      expect(sentence).toMatch(/^[a-z].{10,}[^.]$/);
    }
  });
});
