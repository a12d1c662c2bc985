/** Ways past a policy, between nodes: through tunnels. */
import { bypassScenarios } from './support/bypass-scenarios.ts';

bypassScenarios([], 'node-b');
