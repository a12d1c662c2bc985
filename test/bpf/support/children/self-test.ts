/**
 * A process that tries programs out: `{object, cgroup}`, and tells the error's code; or `{…, datapath, killAt}`: it opens the
 * data path as a node program does, and is killed with -9 where the trial has made that many connections, or none yet.
 */
import { asMeshError } from '../../../../src/base/errors.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { type DatapathOptions, openDatapath } from '../../../../src/datapath/datapath.ts';
import { selfTest } from '../../../../src/datapath/self-test/self-test.ts';
import type { NativeBinding } from '../../../../src/native/binding.ts';
import { loadNative } from '../../../../src/native/load.ts';

export interface Errand {
  readonly objectPath: string;
  readonly cgroup: string;
  readonly datapath?: Omit<DatapathOptions, 'native' | 'log' | 'objectPath' | 'selfTestCgroup'>;
  readonly killAt?: number;
}

const native = loadNative();
const log = silentLogger;
const { objectPath, cgroup, datapath, killAt = 0 } = JSON.parse(process.argv[2] ?? '{}') as Errand;

const kill = (): void => void process.kill(process.pid, 'SIGKILL');

function killed(): NativeBinding {
  let connections = 0;
  return {
    ...native,
    createLoopbackNetns: async () => {
      const netns = await native.createLoopbackNetns();
      if (killAt === 0) kill();
      return netns;
    },
    connectSocket: (...args) => {
      const start = native.connectSocket(...args);
      connections += 1;
      if (connections === killAt) kill();
      return start;
    },
  };
}

try {
  if (datapath === undefined) await selfTest({ native, objectPath, cgroup, log });
  else await openDatapath({ ...datapath, native: killed(), log, objectPath, selfTestCgroup: cgroup });
  process.stdout.write('passed\n');
} catch (thrown) {
  process.stdout.write(`${asMeshError(thrown).code}\n`);
}
