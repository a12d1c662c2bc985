/** The same ways past a policy where both pods are on one node and the kernel carries their connections by itself. */
import { bypassScenarios } from './support/bypass-scenarios.ts';

bypassScenarios(['--same-node', 'kernel'], 'node-a');
