/** Runs a session over a Node stream, the way an owner does: for tests against other implementations. */
import type { Duplex } from 'node:stream';
import { MeshError } from '../../../../../src/base/errors.ts';
import { systemClock } from '../../../../../src/base/clock.ts';
import type { H2Handler, H2SessionOptions } from '../../../../../src/net/h2/contract.ts';
import { H2Session } from '../../../../../src/net/h2/session.ts';

const silent: H2Handler = {
  onReady() {},
  onHeaders() {},
  onData() {},
  onEnd() {},
  onReset() {},
  onSent() {},
  onWritable() {},
  onCapacity() {},
  onGoaway() {},
  onPong() {},
  onClosed() {},
};

export function overDuplex(
  duplex: Duplex,
  options: H2SessionOptions,
  handlerFor: (session: () => H2Session) => Partial<H2Handler>,
): H2Session {
  let flushing = false;
  const flush = (): void => {
    flushing = false;
    while (!duplex.writableNeedDrain && !duplex.destroyed) {
      const chunks = session.pull(256 << 10);
      if (chunks.length === 0) return;
      duplex.cork();
      for (const chunk of chunks) duplex.write(chunk);
      duplex.uncork();
    }
  };
  const handler = handlerFor(() => session);
  const session: H2Session = new H2Session(
    {
      handler: {
        ...silent,
        ...handler,
        onClosed(error) {
          handler.onClosed?.(error);
          setImmediate(() => {
            flush();
            duplex.end();
          });
        },
      },
      clock: systemClock,
      wake() {
        if (flushing) return;
        flushing = true;
        setImmediate(flush);
      },
    },
    options,
  );
  duplex.on('drain', flush);
  duplex.on('data', (chunk: Buffer) => session.receive(chunk));
  duplex.on('close', () => session.transportClosed());
  duplex.on('error', (error) => session.transportClosed(new MeshError('PEER_GONE', error.message)));
  session.start();
  return session;
}
