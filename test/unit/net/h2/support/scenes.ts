/** Sessions in the states most tests start from. */
import type { H2SessionOptions, HeaderList } from '../../../../../src/net/h2/contract.ts';
import { type Endpoint, type Reactions, endpoint, exchange, handshaken } from './endpoint.ts';
import { connectFields, frame, settings, uint32 } from './wire.ts';

export const ok200: HeaderList = [[':status', '200']];
export const server = (reactions: Reactions = {}, options: Partial<H2SessionOptions> = {}): Endpoint =>
  handshaken({ role: 'server', ...options }, reactions);
export const client = (reactions: Reactions = {}, options: Partial<H2SessionOptions> = {}): Endpoint =>
  handshaken({ role: 'client', ...options }, reactions);

/** A client and a server whose handshake is done, with one stream open and answered. */
export function tunnel(options: Partial<H2SessionOptions> = {}): { a: Endpoint; b: Endpoint } {
  const a = endpoint({ role: 'client', ...options });
  const b = endpoint({ role: 'server', ...options });
  a.session.start();
  b.session.start();
  const id = a.session.openStream(connectFields);
  exchange(a, b);
  b.session.respond(id, ok200, false);
  exchange(a, b);
  a.events.length = b.events.length = 0;
  return { a, b };
}

/** A client whose peer lets it send `window` bytes a stream; the connection's window is plenty. */
export function clientWithWindow(window: number, reactions: Reactions = {}): Endpoint {
  const end = client(reactions);
  end.session.receive(Buffer.concat([settings(4, window), frame('WINDOW_UPDATE', 0, 0, uint32(1 << 24))]));
  end.pullAll();
  return end;
}
