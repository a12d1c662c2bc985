/** A TCP server that sends back what it gets, half-close included. */
import { createServer } from 'node:net';

/** Serves until the process ends; listens on all addresses. */
export function serveEcho(port: number, log: (line: string) => void): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen({ port, host: '::', ipv6Only: false }, () => log(`echo on port ${port}`));
}
