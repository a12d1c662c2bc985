/** The contract of `TunnelEngine`, held against the TypeScript engine. */
import { describe } from '@jest/globals';
import { createTypeScriptEngine } from '../../../src/net/tunnel/engine.ts';
import { describeCarrying } from './carrying.ts';
import { describeDeciding } from './deciding.ts';
import { describeDeparting } from './departing.ts';
import { describeInteroperating } from './interoperating.ts';
import { describeLiving } from './living.ts';
import { describePooling } from './pooling.ts';
import { describePressing } from './pressing.ts';
import { describeTrusting } from './trusting.ts';

describe('the TypeScript engine', () => {
  describeCarrying(createTypeScriptEngine);
  describeDeciding(createTypeScriptEngine);
  describeTrusting(createTypeScriptEngine);
  describePooling(createTypeScriptEngine);
  describePressing(createTypeScriptEngine);
  describeLiving(createTypeScriptEngine);
  describeDeparting(createTypeScriptEngine);
  describeInteroperating(createTypeScriptEngine);
});
