/** A session that is told anything: it may end the connection, and must do nothing worse. */
import type { MeshError } from '../../../src/base/errors.ts';
import type { StreamId } from '../../../src/net/h2/contract.ts';
import { H2Session } from '../../../src/net/h2/session.ts';
import { manualClock } from '../../unit/net/h2/support/endpoint.ts';
import { connectFields, parseFrames } from '../../unit/net/h2/support/wire.ts';
import { type Role, greeting } from './inputs.ts';
import type { Random } from '../random.ts';

const window = 65_535;

interface Subject {
  readonly session: H2Session;
  readonly ended: () => { readonly times: number; readonly error: MeshError | undefined };
}

/** An owner that answers requests, echoes bytes, half-closes, and now and then resets or gives nothing back. */
function subject(role: Role, random: Random): Subject {
  let times = 0;
  let error: MeshError | undefined;
  const session: H2Session = new H2Session(
    {
      clock: manualClock(),
      wake() {},
      handler: {
        onReady() {},
        onHeaders(id, _headers, end) {
          if (role === 'client') return;
          session.respond(id, [[':status', '200']], random.below(8) === 0);
          if (end) session.end(id);
        },
        onData: (id, bytes) => react(session, role, id, bytes, random),
        onEnd(id) {
          if (role === 'server') session.end(id);
        },
        onReset() {},
        onSent() {},
        onWritable() {},
        onCapacity() {},
        onGoaway() {},
        onPong() {},
        onClosed(reason) {
          times++;
          error = reason;
        },
      },
    },
    {
      role,
      settings: {
        streamWindow: 1000,
        connectionWindow: window,
        maxFrameSize: 16_384,
        maxConcurrentStreams: 3,
      },
      limits: { unconsumedBytes: 0 },
    },
  );
  session.start();
  return { session, ended: () => ({ times, error }) };
}

function react(session: H2Session, role: Role, id: StreamId, bytes: Uint8Array, random: Random): void {
  if (random.below(16) === 0) return session.reset(id, 8);
  if (role === 'server') session.send(id, Buffer.from(bytes));
  if (random.below(4) !== 0) session.consumed(id, bytes.length);
}

function feed(session: H2Session, bytes: Buffer, random: Random): number {
  let out = 0;
  for (let at = 0; at < bytes.length;) {
    const next = random.below(3) === 0 ? at + random.below(40) + 1 : bytes.length;
    session.receive(bytes.subarray(at, next));
    out += drain(session);
    at = next;
  }
  return out;
}

/** Pulls everything; what comes out must be whole frames. */
function drain(session: H2Session): number {
  const chunks: Uint8Array[] = [];
  for (let more = session.pull(4096); more.length > 0; more = session.pull(4096)) chunks.push(...more);
  const bytes = Buffer.concat(chunks);
  parseFrames(bytes);
  return bytes.length;
}

const allowedCodes = new Set([undefined, 'H2_PROTOCOL', 'H2_FLOW_CONTROL', 'H2_LIMIT', 'PEER_GONE']);

/** Feeds `input` to a fresh session, after a proper greeting if `greet`. @throws when it did worse than close */
export function checkSession(role: Role, random: Random, input: Buffer, greet: boolean): void {
  const { session, ended } = subject(role, random);
  if (role === 'client') for (let i = 0; i < 3; i++) session.openStream(connectFields);
  drain(session);
  const bytes = greet ? Buffer.concat([greeting[role], input]) : input;
  const out = feed(session, bytes, random);
  const { times, error } = ended();
  if (!allowedCodes.has(error?.code)) throw error ?? new Error('unreachable');
  if (times > 1 || session.closed !== (times === 1)) throw new Error(`closed ${times} times`);
  if (session.unconsumedBytes < 0 || session.unconsumedBytes > window) throw new Error('window overrun');
  if (session.openStreams > 3 || (session.closed && session.openStreams > 0)) throw new Error('stream leak');
  if (session.queuedBytes < 0 || session.queuedBytes > bytes.length) throw new Error('queue leak');
  if (out > bytes.length * 4 + 500) throw new Error(`${bytes.length} bytes provoked ${out}`);
}
