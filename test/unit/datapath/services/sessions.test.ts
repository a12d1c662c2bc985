/** The `sessions` map has what ztunnel chose, as long as it counts, and no more. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { parseIp, type SocketAddress } from '../../../../src/base/ip.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import type { SessionEntry, SessionKey } from '../../../../src/datapath/abi/service-layout.ts';
import type { AppliedChoice } from '../../../../src/datapath/services/read.ts';
import { type ClientOf, KernelSessions } from '../../../../src/datapath/services/sessions.ts';
import { carrySessions } from '../../../../src/datapath/takeover/carry-sessions.ts';
import { at } from '../../../support/mesh-builder.ts';
import { FakeMap } from './fake-map.ts';

const dialled = at('10.96.0.1:80');
const [near, other, far] = [at('10.0.0.1:8080'), at('10.0.0.2:8080'), at('10.0.9.9:8080')];
const web = (last = 1): ClientOf => ({ client: parseIp(`10.1.0.${last}`), dialled });

let map: FakeMap<SessionKey, SessionEntry>;
let choice: AppliedChoice | undefined;
let nowMs: number;
let sessions: KernelSessions;

const choiceOf = (
  generation: number,
  kernel: readonly SocketAddress[],
  sessionMs?: number,
): AppliedChoice => ({
  generation,
  choice: { dialled, kernel, total: kernel.length, leaves: false, sessionMs },
});

beforeEach(() => {
  map = new FakeMap();
  choice = choiceOf(7, [near, other], 60_000);
  nowMs = 1_000_000;
  sessions = new KernelSessions({
    sessions: map,
    choiceAt: ({ ip, port }) => (ip === dialled.ip && port === dialled.port ? choice : undefined),
    monotonicNs: () => BigInt(nowMs) * 1_000_000n,
    log: silentLogger,
  });
});

const entries = (): readonly SessionEntry[] => [...map.content.values()].map(([, entry]) => entry);

describe('a session', () => {
  it('is left to the kernel with the generation of what it was chosen from', () => {
    expect(sessions.keep(web(), other)).toBe(true);
    expect([...map.content.values()]).toEqual([
      [
        { client: '10.1.0.1', service: dialled },
        { lastUsed: 1_000_000_000_000n, generation: 7, endpoint: other },
      ],
    ]);
    nowMs += 1500;
    expect(sessions.find(web())).toEqual({ endpoint: other, idleMs: 1500 });
    expect(sessions.find(web(2))).toBeUndefined();
    sessions.forget(web());
    expect(map.content.size).toBe(0);
  });

  it.each([
    ['leads off the kernel path', () => choiceOf(7, [near], 60_000)],
    ['is of a Service that has no sessions', () => choiceOf(7, [near, far])],
    ['is of one that the kernel knows nothing of', () => undefined],
  ])('is not, if it %s', (_, applied) => {
    choice = applied();
    expect(sessions.keep(web(), far)).toBe(false);
    expect(map.content.size).toBe(0);
  });

  it('is not, if the kernel takes nothing', () => {
    map.failure = new MeshError('BPF_MAP', 'no memory');
    expect(sessions.keep(web(), near)).toBe(false);
  });

  it('cannot be used in the future: programs may write a later time than the one just read', () => {
    sessions.keep(web(), near);
    nowMs -= 1;
    expect(sessions.find(web())).toEqual({ endpoint: near, idleMs: 0 });
  });
});

describe('those that have ended are removed', () => {
  it('each by how long its Service’s last', () => {
    sessions.keep(web(), near);
    nowMs += 59_999;
    sessions.keep(web(2), near);
    sessions.sweep();
    expect(map.content.size).toBe(2);
    nowMs += 1;
    sessions.sweep();
    expect([...map.content.values()].map(([{ client }]) => client)).toEqual(['10.1.0.2']);
    choice = choiceOf(8, [near]);
    sessions.sweep();
    expect(map.content.size).toBe(0);
  });

  it('after a day, while nobody knows how long: ztunnel asks for them', () => {
    sessions.keep(web(), near);
    choice = undefined;
    nowMs += 86_399_999;
    sessions.sweep();
    expect(map.content.size).toBe(1);
    nowMs += 1;
    sessions.sweep();
    expect(map.content.size).toBe(0);
  });

  it('when there is no room, but not for each client that finds none', () => {
    map.capacity = 2;
    sessions.keep(web(1), near);
    nowMs += 30_000;
    sessions.keep(web(2), near);
    expect(sessions.keep(web(3), near)).toBe(false);
    expect(sessions.keep(web(4), near)).toBe(false);
    expect(map.reads).toBe(1);
    // One that has room already keeps it.
    expect(sessions.keep(web(2), other)).toBe(true);
    nowMs += 30_000;
    expect(sessions.keep(web(3), near)).toBe(true);
    expect(map.reads).toBe(2);
    expect([...map.content.values()].map(([{ client }]) => client)).toEqual(['10.1.0.2', '10.1.0.3']);
  });
});

const mapsWith = (found: readonly (readonly [SessionKey, SessionEntry])[]) => ({
  sessions: () => ({ entries: () => found }) as never,
});

describe('those of programs of another version', () => {
  const earlier = { lastUsed: 5n, generation: 7, endpoint: near };

  it('go on, unconfirmed, unless ztunnel has decided since', () => {
    sessions.keep(web(2), other);
    const [one, two] = [1, 2].map((last) => ({ client: web(last).client, service: dialled }));
    if (one === undefined || two === undefined) throw new Error('two keys');
    carrySessions(
      mapsWith([
        [one, earlier],
        [two, earlier],
      ]),
      map,
      silentLogger,
    );
    expect(entries()).toEqual([
      { lastUsed: 1_000_000_000_000n, generation: 7, endpoint: other },
      { ...earlier, generation: 0 },
    ]);
    expect(sessions.lastGeneration()).toBe(7);
  });

  it('begin anew where there is no room', () => {
    map.capacity = 0;
    carrySessions(mapsWith([[{ client: web().client, service: dialled }, earlier]]), map, silentLogger);
    expect(map.content.size).toBe(0);
  });
});

it('nothing is read or written when the map is about to be closed', () => {
  sessions.keep(web(), near);
  sessions.close();
  expect(sessions.find(web())).toBeUndefined();
  expect(sessions.keep(web(), near)).toBe(false);
  sessions.forget(web());
  expect(map.content.size).toBe(1);
});
