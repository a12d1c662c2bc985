/** The contract of `TunnelEngine`, held against the TypeScript engine. */
import { describe } from '@jest/globals';
import { createTypeScriptEngine } from '../../../src/net/tunnel/engine.ts';
import { describeCarrying } from './carrying.ts';
import { describeDeciding } from './deciding.ts';
import { describePooling } from './pooling.ts';
import { describeTrusting } from './trusting.ts';

describe('the TypeScript engine', () => {
  describeCarrying(createTypeScriptEngine);
  describeDeciding(createTypeScriptEngine);
  describeTrusting(createTypeScriptEngine);
  describePooling(createTypeScriptEngine);
});
