import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import type { Route } from '../../../../src/net/engine.ts';
import { firstToAnswer } from '../../../../src/net/tunnel/attempts.ts';
import type { ByteEnd } from '../../../../src/net/tunnel/byte-end.ts';
import { Departures } from '../../../../src/net/tunnel/departures.ts';
import { Ending } from '../../../../src/net/tunnel/ending.ts';
import { FakeClock, flushPromises } from '../../../support/fake-clock.ts';
import { at } from '../../../support/mesh-builder.ts';

const refused = new MeshError('DIAL_FAILED', 'ECONNREFUSED');
const endpoint = (n: number): Route => ({
  type: 'direct',
  target: at(`10.244.2.${n}:8080`),
  source: undefined,
});
const [first, second, third] = [endpoint(1), endpoint(2), endpoint(3)];

/** A connection with these endpoints, each of which answers, fails or stays silent as the test says. */
function connecting(...routes: readonly Route[]) {
  const left = [...routes];
  const clock = new FakeClock();
  const departures = new Departures();
  const giveUp = new Ending();
  const dialled: Route[] = [];
  const pending = new Map<Route, PromiseWithResolvers<ByteEnd>>();
  const ended: [Route, string][] = [];
  const reset: Route[] = [];
  const failed: Route[] = [];
  const slow: Route[] = [];
  const outcome = firstToAnswer(
    () => left.shift(),
    {
      clock,
      departures,
      nextRouteAfterMs: 1000,
      open(route, wanted) {
        const dial = Promise.withResolvers<ByteEnd>();
        pending.set(route, dial);
        dialled.push(route);
        wanted.listen((reason) => {
          ended.push([route, reason.message]);
          dial.reject(reason);
        });
        return dial.promise;
      },
      failed: (route) => failed.push(route),
      slow: (route) => slow.push(route),
    },
    giveUp,
  );
  outcome.catch(() => {});
  const answer = (route: Route): void =>
    pending.get(route)?.resolve({ reset: () => reset.push(route) } as unknown as ByteEnd);
  const fail = async (route: Route, error = refused): Promise<void> => {
    pending.get(route)?.reject(error);
    await flushPromises();
  };
  const later = (route: Route): void => void left.push(route);
  const { ip } = first.type === 'direct' ? first.target : at('0.0.0.0:1');
  const departs = async (departure: 'leaving' | 'gone'): Promise<void> => {
    departures.tell(ip, departure);
    await flushPromises();
  };
  return { outcome, answer, fail, later, departs, clock, giveUp, dialled, ended, reset, failed, slow };
}

describe('a connection with several endpoints', () => {
  it('goes to the first if that answers in time, and nobody else is asked', async () => {
    const { outcome, answer, clock, dialled } = connecting(first, second);
    await clock.advance(999);
    answer(first);
    await expect(outcome).resolves.toMatchObject({ route: first });
    await clock.advance(10_000);
    expect(dialled).toEqual([first]);
    expect(clock.nextDelay).toBeUndefined();
  });

  it('goes to the next at once when one refuses', async () => {
    const { outcome, answer, fail, failed } = connecting(first, second);
    await fail(first);
    answer(second);
    await expect(outcome).resolves.toMatchObject({ route: second });
    expect(failed).toEqual([first]);
  });

  it('tries the next beside one that has not answered for a second, and takes whoever answers first', async () => {
    const { outcome, answer, clock, dialled, ended, slow } = connecting(first, second, third);
    await clock.advance(1000);
    expect(dialled).toEqual([first, second]);
    expect(slow).toEqual([first]);
    answer(second);
    await expect(outcome).resolves.toMatchObject({ route: second });
    expect(ended).toEqual([[first, 'another endpoint answered first']]);
  });

  it('takes a slow endpoint that answers after all', async () => {
    const { outcome, answer, clock, ended } = connecting(first, second);
    await clock.advance(1500);
    answer(first);
    await expect(outcome).resolves.toMatchObject({ route: first });
    expect(ended.map(([route]) => route)).toEqual([second]);
  });

  it('resets an answer that comes too late to be used', async () => {
    const { outcome, answer, clock, reset } = connecting(first, second);
    await clock.advance(1000);
    answer(second);
    answer(first);
    await outcome;
    await flushPromises();
    expect(reset).toEqual([first]);
  });

  it('does not try a third because a slow one fails while the second is still under way', async () => {
    const { fail, clock, dialled } = connecting(first, second, third);
    await clock.advance(1000);
    await fail(first);
    expect(dialled).toEqual([first, second]);
    await fail(second);
    expect(dialled).toEqual([first, second, third]);
  });

  it('fails with the last failure when all have failed', async () => {
    const { outcome, fail, failed } = connecting(first, second);
    await fail(first);
    await fail(second, new MeshError('TLS_FAILED', 'no'));
    await expect(outcome).rejects.toMatchObject({ code: 'TLS_FAILED' });
    expect(failed).toEqual([first, second]);
  });
});

describe('a connection whose endpoint departs', () => {
  it('gives up a pod that is gone and tries another at once', async () => {
    const { outcome, answer, departs, ended } = connecting(first, second);
    await departs('gone');
    expect(ended).toEqual([[first, '10.244.2.1:8080 left the mesh before it answered']]);
    answer(second);
    await expect(outcome).resolves.toMatchObject({ route: second });
  });

  it('tries another beside a pod that is leaving, which may still answer', async () => {
    const { outcome, answer, departs, dialled, ended } = connecting(first, second);
    await departs('leaving');
    expect(dialled).toEqual([first, second]);
    expect(ended).toEqual([]);
    answer(first);
    await expect(outcome).resolves.toMatchObject({ route: first });
  });

  it('goes to an endpoint that came after everybody had been tried', async () => {
    const { outcome, answer, later, departs, clock, dialled } = connecting(first);
    await clock.advance(3000);
    expect(dialled).toEqual([first]);
    later(second);
    await departs('gone');
    answer(second);
    await expect(outcome).resolves.toMatchObject({ route: second });
  });

  it('fails at once when there is no other', async () => {
    const { outcome, departs } = connecting(first);
    await departs('gone');
    await expect(outcome).rejects.toMatchObject({ code: 'DIAL_FAILED' });
  });
});

it('a connection whose application goes away tries nothing any more', async () => {
  const { outcome, clock, giveUp, dialled, ended, failed } = connecting(first, second, third);
  await clock.advance(1000);
  giveUp.end(new MeshError('APPLICATION_RESET', 'the application reset the connection'));
  await expect(outcome).rejects.toMatchObject({ code: 'APPLICATION_RESET' });
  expect(ended).toHaveLength(2);
  await clock.advance(60_000);
  expect(dialled).toEqual([first, second]);
  expect(failed).toEqual([]);
});
