/** The state of one stream (RFC 9113 §5.1). `StreamTable` owns it; idle and closed streams have none. */
import type { StreamId } from './contract.ts';
import type { ReceiveWindow } from './flow-control.ts';
import { SendQueue } from './send-queue.ts';

export class Stream {
  readonly id: StreamId;
  readonly receiveWindow: ReceiveWindow;
  /** What we may send; below 0 when the peer lowered its initial window meanwhile (§6.9.2). */
  sendWindow: number;
  readonly sendQueue = new SendQueue();
  /** False once the peer's END_STREAM came: "half-closed (remote)". */
  remoteOpen = true;
  /** False once our END_STREAM was pulled or reset: "half-closed (local)". */
  localOpen = true;
  /** `end` was called: the last byte of the queue carries END_STREAM. Implies that nothing is queued any more. */
  ending = false;
  /** The response was sent (server) or came (client). No DATA moves before. */
  answered = false;
  /** `send` returned false: the owner waits for `onWritable`. */
  waiting = false;

  constructor(id: StreamId, receiveWindow: ReceiveWindow, sendWindow: number) {
    this.id = id;
    this.receiveWindow = receiveWindow;
    this.sendWindow = sendWindow;
  }
}
