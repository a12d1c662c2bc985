/**
 * The asking end of `inspect`: one program in a node's pod, one question at a time. It is started when first asked and
 * again after it was closed, and closed whenever something went wrong, so that no late answer meets a new question.
 */
import { MeshError } from '../../base/errors.ts';
import type { PodProcess, PodProcessEvents, ProcessEnd } from '../../kube/client/pod-exec.ts';
import { abortError } from '../abort-error.ts';
import { LineReader } from '../inspect/lines.ts';
import {
  type AnswerTo,
  type Greeting,
  type InspectRequest,
  maxAnswerBytes,
  parseAnswer,
  parseGreeting,
} from '../inspect/protocol.ts';

export type StartProcess = (events: PodProcessEvents, signal: AbortSignal) => Promise<PodProcess>;

export class InspectSession {
  readonly #where: string;
  readonly #start: StartProcess;
  readonly #greeted: (greeting: Greeting) => void;
  #conversation: Conversation | undefined;

  constructor(where: string, start: StartProcess, greeted: (greeting: Greeting) => void) {
    this.#where = where;
    this.#start = start;
    this.#greeted = greeted;
  }

  /** @throws MeshError the node's own; UNAVAILABLE, TIMEOUT, PERMISSION, UNSUPPORTED */
  async ask<Request extends InspectRequest>(
    request: Request,
    signal: AbortSignal,
  ): Promise<AnswerTo<Request['ask']>> {
    const line = await this.#exchange(request, signal);
    return parseAnswer<Request['ask']>(request.ask, line);
  }

  close(): void {
    this.#conversation?.close();
    this.#conversation = undefined;
  }

  async #exchange(request: InspectRequest, signal: AbortSignal): Promise<string> {
    try {
      this.#conversation ??= await this.#open(signal);
      return await this.#conversation.ask(JSON.stringify(request), signal);
    } catch (thrown) {
      this.close();
      throw signal.aborted ? abortError(`the node at ${this.#where}`, signal, thrown) : thrown;
    }
  }

  async #open(signal: AbortSignal): Promise<Conversation> {
    const conversation = new Conversation(this.#where);
    await conversation.start(this.#start, signal);
    try {
      this.#greeted(parseGreeting(await conversation.nextLine(signal)));
      return conversation;
    } catch (thrown) {
      conversation.close();
      throw thrown;
    }
  }
}

/** One run of the program, from its greeting on. */
class Conversation {
  readonly #where: string;
  readonly #lines: LineReader;
  readonly #unread: string[] = [];
  #process: PodProcess | undefined;
  #end: MeshError | undefined;
  #waiting: PromiseWithResolvers<string> | undefined;
  #heard = false;

  constructor(where: string) {
    this.#where = where;
    this.#lines = new LineReader(maxAnswerBytes, (line) => this.#take(line));
  }

  async start(start: StartProcess, signal: AbortSignal): Promise<void> {
    this.#process = await start(
      {
        stdout: (chunk) => {
          if (this.#end === undefined && !this.#lines.push(chunk)) this.#finish(this.#tooLong());
        },
        ended: (end) => this.#finish(this.#endError(end)),
      },
      signal,
    );
  }

  async ask(question: string, signal: AbortSignal): Promise<string> {
    this.#process?.send(`${question}\n`);
    return await this.nextLine(signal);
  }

  async nextLine(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const line = this.#unread.shift();
    if (line !== undefined) return line;
    if (this.#end !== undefined) throw this.#end;
    const waiting = Promise.withResolvers<string>();
    this.#waiting = waiting;
    const abort = (): void => waiting.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await waiting.promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  close(): void {
    this.#process?.close();
  }

  #take(line: string): void {
    this.#heard = true;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#unread.push(line);
    else waiting.resolve(line);
  }

  #finish(error: MeshError): void {
    this.#end ??= error;
    this.#waiting?.reject(this.#end);
    this.#waiting = undefined;
    this.close();
  }

  #tooLong(): MeshError {
    return new MeshError('UNSUPPORTED', `${this.#where} answered more than ${maxAnswerBytes} bytes`);
  }

  #endError(end: ProcessEnd): MeshError {
    if (end.type === 'failed') return end.error;
    const cause = end.stderr === '' ? {} : { cause: new Error(end.stderr.trim()) };
    // A program that does not know the command says so, and exits with the status of usage errors.
    if (!this.#heard && end.status === 2) {
      return new MeshError('UNSUPPORTED', `the mesh-ebpf in ${this.#where} cannot be inspected`, {
        ...cause,
        hint: 'it is of an older version; upgrade the mesh, or use the program of its version',
      });
    }
    return new MeshError('UNAVAILABLE', `mesh-ebpf in ${this.#where} ended with exit status ${end.status}`, {
      ...cause,
      hint: 'the pod may be stopping; try again',
    });
  }
}
