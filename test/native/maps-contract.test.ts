// The addon keeps the contract of map calls that its in-memory twin keeps too.
import { afterAll, beforeAll, describe } from '@jest/globals';
import type { Fd } from '../../src/native/binding.ts';
import { describeMapContract } from '../contract/native-maps/map-contract.ts';
import { native } from './support/addon.ts';
import { compileSubject, FdBag, type Subject } from './support/subject.ts';

let subject: Subject;
beforeAll(() => {
  subject = compileSubject();
});
afterAll(() => subject.remove());

/** A map of the test object with another capacity. */
function makeMap(fds: FdBag, name: string, capacity?: number): Fd {
  const object = subject.open();
  if (capacity !== undefined) object.setMaxEntries(name, capacity);
  object.load();
  const fd = fds.keep(object.mapFd(name));
  object.close();
  return fd;
}

describe('kernel maps', () => {
  describeMapContract(() => {
    const fds = new FdBag();
    return {
      calls: native,
      hash: (capacity) => makeMap(fds, 'plain_hash', capacity),
      array: (capacity) => makeMap(fds, 'plain_array', capacity),
      trie: () => makeMap(fds, 'prefixes'),
      close: () => fds.closeAll(),
    };
  });
});
