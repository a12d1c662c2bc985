/** `SocketSpec`s with everything off, for tests to spread over. */
import type { SocketSpec } from '../../../src/native/binding.ts';

export const clientSpec: SocketSpec = {
  netns: null,
  family: 4,
  bindIp: null,
  bindPort: 0,
  transparent: false,
  mark: 0,
  backlog: 0,
  dualStack: false,
};

export const loopbackListener: SocketSpec = { ...clientSpec, bindIp: '127.0.0.1', backlog: 16 };
