// Programs on a sockhash: attached, asked about, detached; and what a trial says of them.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { BpfObject, Fd, SockhashTrial } from '../../src/native/binding.ts';
import { native } from './support/addon.ts';
import { nativeErrorOf } from './support/native-error.ts';
import { compileSubject, FdBag, type Subject } from './support/subject.ts';

const messages = 7; // BPF_SK_MSG_VERDICT

let subject: Subject;
let object: BpfObject;
const fds = new FdBag();

beforeAll(() => {
  subject = compileSubject();
});
afterAll(() => subject.remove());
beforeEach(() => {
  object = subject.open();
  object.load();
});
afterEach(() => {
  object.close();
  fds.closeAll();
});

const program = (name: string): Fd => fds.keep(object.programFd(name));
const map = (name: string): Fd => fds.keep(object.mapFd(name));

describe('a program on a map', () => {
  it('is attached in place of the one before, and found there, where the kernel tells of it', () => {
    const sockets = map('sockets');
    const known = native.attachedToMap(sockets, messages) !== null;
    for (const name of ['lose_long', 'to_other_end']) {
      native.attachToMap(program(name), sockets, messages);
      const { id } = native.programInfo(program(name));
      expect(native.attachedToMap(sockets, messages)).toBe(known ? id : null);
    }
  });

  it('is detached by whoever names it, once', () => {
    const sockets = map('sockets');
    native.attachToMap(program('to_other_end'), sockets, messages);
    expect(native.detachFromMap(program('lose_long'), sockets, messages)).toBe(false);
    expect(native.detachFromMap(program('to_other_end'), sockets, messages)).toBe(true);
    expect(native.detachFromMap(program('to_other_end'), sockets, messages)).toBe(false);
  });

  it('must be of that kind, and the map, too', async () => {
    for (const [name, place] of [
      ['pass_lookup', 'sockets'],
      ['lose_long', 'plain_hash'],
    ] as const) {
      const error = await nativeErrorOf(() => native.attachToMap(program(name), map(place), messages));
      expect(['EINVAL', 'EOPNOTSUPP']).toContain(error.code);
    }
  });
});

const numbers = (...values: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

const tryIt = (): Promise<SockhashTrial> =>
  native.trySockhash(map('sockets'), map('others'), numbers(1, 2), numbers(2, 1));

describe('a trial', () => {
  it('finds every byte where nobody meddles', async () => {
    const { pairs, intact, bytes, spuriousWakeups } = await tryIt();
    expect(intact).toBe(pairs);
    expect(bytes).toBeGreaterThan(100_000);
    expect(spuriousWakeups).toBeGreaterThanOrEqual(0);
  });

  it('finds every byte that is redirected', async () => {
    native.attachToMap(program('to_other_end'), map('sockets'), messages);
    const { pairs, intact } = await tryIt();
    expect(intact).toBe(pairs);
  });

  it('notices what is lost', async () => {
    native.attachToMap(program('lose_long'), map('sockets'), messages);
    expect((await tryIt()).intact).toBe(0);
  }, 60_000);

  it('leaves nothing in the map', async () => {
    await tryIt();
    expect(native.mapDump(map('sockets')).count).toBe(0);
  });
});
