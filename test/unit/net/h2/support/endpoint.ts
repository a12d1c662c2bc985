/** A session with a handler that writes down what happens, and a clock that stands still until told. */
import type { Clock } from '../../../../../src/base/clock.ts';
import type { MeshError } from '../../../../../src/base/errors.ts';
import type {
  H2Handler,
  H2SessionOptions,
  HeaderList,
  StreamId,
} from '../../../../../src/net/h2/contract.ts';
import { describeErrorCode } from '../../../../../src/net/h2/errors.ts';
import { H2Session } from '../../../../../src/net/h2/session.ts';
import { describeFrame, frame, parseFrames, preface, settings } from './wire.ts';

export interface ManualClock extends Clock {
  advance(ms: number): void;
}

export function manualClock(): ManualClock {
  let now = 0;
  return {
    now: () => now,
    after: () => () => {},
    random: () => 0.5,
    advance(ms) {
      now += ms;
    },
  };
}

export interface Endpoint {
  readonly session: H2Session;
  /** One line an event: `headers 1`, `data 1 "abc"`, `reset 1 CANCEL`, `closed H2_PROTOCOL`. */
  readonly events: string[];
  readonly headersOf: Map<number, HeaderList>;
  readonly closedWith: () => MeshError | undefined;
  readonly clock: ManualClock;
  /** How often `wake` was called. */
  readonly wakes: () => number;
  /** Everything there is to pull, as bytes. */
  readonly pullAll: () => Buffer;
  /** The same, one line a frame. */
  readonly frames: () => string[];
}

export type Reactions = Partial<H2Handler>;

/** `reactions` run after the event was written down. */
export function endpoint(options: H2SessionOptions, reactions: Reactions = {}): Endpoint {
  const events: string[] = [];
  const headersOf = new Map<number, HeaderList>();
  let closedWith: MeshError | undefined;
  let wakes = 0;
  const clock = manualClock();
  const handler = recorder(events, reactions);
  const session = new H2Session(
    {
      clock,
      wake: () => wakes++,
      handler: {
        ...handler,
        onHeaders(stream, fields, end) {
          headersOf.set(stream, fields);
          handler.onHeaders(stream, fields, end);
        },
        onClosed(error) {
          closedWith = error;
          handler.onClosed(error);
        },
      },
    },
    options,
  );
  const pullAll = (): Buffer => {
    const chunks: Uint8Array[] = [];
    for (;;) {
      const more = session.pull(1 << 20);
      if (more.length === 0) return Buffer.concat(chunks);
      chunks.push(...more);
    }
  };
  return {
    session,
    events,
    headersOf,
    closedWith: () => closedWith,
    clock,
    wakes: () => wakes,
    pullAll,
    frames: () => parseFrames(pullAll()).map(describeFrame),
  };
}

function recorder(events: string[], reactions: Reactions): H2Handler {
  const write = (line: string): void => {
    events.push(line);
  };
  return {
    onReady() {
      write('ready');
      reactions.onReady?.();
    },
    onHeaders(stream, fields, end) {
      write(`headers ${stream}${end ? ' end' : ''}`);
      reactions.onHeaders?.(stream, fields, end);
    },
    onData(stream, bytes) {
      write(`data ${stream} ${bytes.length > 16 ? bytes.length : `"${Buffer.from(bytes).toString()}"`}`);
      reactions.onData?.(stream, bytes);
    },
    onEnd(stream) {
      write(`end ${stream}`);
      reactions.onEnd?.(stream);
    },
    onReset(stream, code, error) {
      write(`reset ${stream} ${describeErrorCode(code)} ${error.code}`);
      reactions.onReset?.(stream, code, error);
    },
    onWritable(stream) {
      write(`writable ${stream}`);
      reactions.onWritable?.(stream);
    },
    onCapacity() {
      write('capacity');
      reactions.onCapacity?.();
    },
    onSent(stream) {
      reactions.onSent?.(stream);
    },
    onGoaway(code, last) {
      write(`goaway ${describeErrorCode(code)} ${last}`);
      reactions.onGoaway?.(code, last);
    },
    onPong() {
      write('pong');
      reactions.onPong?.();
    },
    onClosed(error) {
      write(`closed ${error?.code ?? 'in order'}`);
      reactions.onClosed?.(error);
    },
  };
}

/** A session whose peer is the test: the handshake is done, and nothing of it is left to pull or in `events`. */
export function handshaken(options: H2SessionOptions, reactions: Reactions = {}): Endpoint {
  const end = endpoint(options, reactions);
  end.session.start();
  if (options.role === 'server') end.session.receive(preface);
  end.session.receive(settings());
  end.session.receive(frame('SETTINGS', 1, 0));
  end.pullAll();
  end.events.length = 0;
  return end;
}

/** Carries bytes between two sessions until neither has more to say. */
export function exchange(a: Endpoint, b: Endpoint): void {
  for (;;) {
    const fromA = a.pullAll();
    const fromB = b.pullAll();
    if (fromA.length === 0 && fromB.length === 0) return;
    if (fromA.length > 0) b.session.receive(fromA);
    if (fromB.length > 0) a.session.receive(fromB);
  }
}

export const stream = (id: number): StreamId => id as StreamId;
