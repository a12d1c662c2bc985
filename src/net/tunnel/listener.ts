/** Accepts on a descriptor that already listens, inside some pod's network namespace. */
import { closeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from '../../base/log.ts';
import type { Fd, NativeBinding } from '../../native/binding.ts';
import type { PodListeners } from '../engine.ts';
import { keepaliveDelayMs } from './options.ts';

/** Pending connections the kernel holds; the descriptor comes with its own, and Node sets it again. */
const backlog = 4096;

interface ListenerUse {
  /** Applications may close one direction; a TLS connection ends as a whole. */
  readonly allowHalfOpen: boolean;
  readonly log: Logger;
  readonly sockets: Pick<NativeBinding, 'tuneSocket'>;
}

/** Sockets are handed over paused; the descriptor is the server's from now on. */
export function listenOn(fd: Fd, use: ListenerUse, accepted: (socket: Socket) => void): Server {
  const server = createServer(
    {
      allowHalfOpen: use.allowHalfOpen,
      pauseOnConnect: true,
    },
    accepted,
  );
  // Once, for all that it accepts: five system calls less for each.
  use.sockets.tuneSocket(fd, keepaliveDelayMs / 1000);
  server.on('error', (error) => use.log.error({ error }, 'a listener of a pod failed'));
  server.listen({ fd, backlog });
  return server;
}

/** For a pod that is told again: descriptors that are not in use are of no use. */
export function closeUnlessSame(offered: PodListeners, held: PodListeners): void {
  const inUse = new Set<Fd>([held.outbound, held.plaintext, held.hbone]);
  for (const fd of [offered.outbound, offered.plaintext, offered.hbone]) if (!inUse.has(fd)) closeSync(fd);
}
