/**
 * The protocol by which verdicts are taken back, in every order in which its steps can happen: a packet, ztunnel's answer,
 * one that nobody asked for, a change of the mesh and its consequences run beside each other. A model of `bpf/sk-lookup.bpf.c`,
 * `verdict-cache.ts`, `local.ts`, `verdict-prefetch.ts` and `kernel-connections.ts`, one step for each thing that is one for the others; explored completely.
 */
import { describe, expect, it } from '@jest/globals';

/** What everybody sees. Of one pair of pods; its policy allows or denies, and changes. */
interface World {
  /** Of the policy in force: what the mesh model says. */
  readonly allows: boolean;
  /** In the kernel. */
  readonly generation: number;
  /** In the kernel: the generation of the verdict; 0: there is none. */
  readonly verdict: number;
  readonly connections: readonly Connection[];
  /** Where each of the actors is. */
  readonly at: readonly number[];
  /** What each of them keeps for himself. */
  readonly notes: readonly Note[];
}

interface Note {
  readonly generation?: number;
  readonly allows?: boolean;
  /** Whom a walk found. */
  readonly doomed?: readonly number[];
}

type Connection = 'none' | 'recorded' | 'admitted' | 'asked' | 'delivered' | 'refused' | 'cut';

/** One step of an actor, which nobody can look into; undefined: it cannot be taken now. */
type Step = (world: World, actor: number) => World | undefined;

const note = (world: World, actor: number, more: Note): World => ({
  ...world,
  notes: world.notes.map((one, i) => (i === actor ? { ...one, ...more } : one)),
});
const become = (world: World, connection: number, state: Connection): World => ({
  ...world,
  connections: world.connections.map((one, i) => (i === connection ? state : one)),
});

/** sockops, then sk_lookup: the record, the reading of the verdict, that of the generation, and what comes of it. */
const dialling = (id: number): readonly Step[] => [
  (world) => become(world, id, 'recorded'),
  (world, actor) => note(world, actor, { generation: world.verdict }),
  (world, actor) => {
    if (world.connections[id] === 'cut') return world;
    const isInForce = world.verdict !== 0 && world.notes[actor]?.generation === world.generation;
    return become(world, id, isInForce ? 'admitted' : 'asked');
  },
];

/**
 * ztunnel: accepts what was handed to it, reads the mesh and the generation at once, answers, and may be late. `isBound`:
 * the answer carries the generation that was read with the mesh, as it must.
 */
const answering = (id: number, isBound: boolean): readonly Step[] => [
  (world, actor) =>
    world.connections[id] === 'asked'
      ? note(world, actor, { generation: world.generation, allows: world.allows })
      : isOver(world, id)
        ? world
        : undefined,
  (world, actor) => {
    const { allows, generation = 0 } = world.notes[actor] ?? {};
    if (allows === undefined) return world;
    const answered = become(world, id, allows ? 'delivered' : 'refused');
    return allows ? { ...answered, verdict: isBound ? generation : world.generation } : answered;
  },
];

const isOver = ({ connections }: World, id: number): boolean =>
  connections[id] === 'admitted' || connections[id] === 'cut';

/**
 * The agent at a change. The store commits and tells its listeners in one turn, in which ztunnel decides nothing, but the
 * kernel goes on all the time.
 */
const changing = (allows: boolean, order: readonly ('take back' | 'walk')[]): readonly Step[] => [
  (world) => ({ ...world, allows }),
  ...order.map((what) => (what === 'take back' ? takeBack : walk)),
  cut,
  cut,
];

const takeBack: Step = (world) => ({ ...world, generation: world.generation + 1 });

/** Finds all that are recorded, whether they are admitted yet or not; not those that ztunnel has accepted. */
const walk: Step = (world, actor) =>
  note(world, actor, {
    doomed: world.allows ? [] : world.connections.flatMap((state, id) => (isOpen(state) ? [id] : [])),
  });

const isOpen = (state: Connection): boolean =>
  state === 'recorded' || state === 'admitted' || state === 'asked';

const cut: Step = (world, actor) =>
  (world.notes[actor]?.doomed ?? []).reduce((now, id) => become(now, id, 'cut'), world);

/** ztunnel's first step and the agent's change are turns of one thread: while a change is told, nothing is decided. */
interface Actor {
  readonly steps: readonly Step[];
  /** Steps, by number, that are one turn with the step before, for whoever runs on the same thread. */
  readonly oneTurn: readonly number[];
  readonly thread: 'kernel' | 'node program';
}

function explore(
  actors: readonly Actor[],
  start: Pick<World, 'allows' | 'verdict'>,
  connections: number,
): World[] {
  const ends: World[] = [];
  const seen = new Set<string>();
  const first: World = {
    ...start,
    generation: 1,
    connections: Array.from({ length: connections }, () => 'none'),
    at: actors.map(() => 0),
    notes: actors.map(() => ({})),
  };
  const pending = [first];
  for (let world = pending.pop(); world !== undefined; world = pending.pop()) {
    const key = JSON.stringify(world);
    if (seen.has(key)) continue;
    seen.add(key);
    const next = actors.flatMap((actor, i) => takeStep(world, actors, actor, i));
    if (next.length === 0) ends.push(world);
    else pending.push(...next);
  }
  return ends;
}

function takeStep(world: World, actors: readonly Actor[], actor: Actor, i: number): World[] {
  const position = world.at[i] ?? 0;
  const step = actor.steps[position];
  const isBusyElsewhere = actors.some(
    (other, j) =>
      j !== i &&
      other.thread === actor.thread &&
      other.thread === 'node program' &&
      isInTurn(other, world.at[j] ?? 0),
  );
  const after = isBusyElsewhere ? undefined : step?.(world, i);
  return after === undefined ? [] : [{ ...after, at: after.at.map((at, j) => (j === i ? at + 1 : at)) }];
}

const isInTurn = ({ oneTurn }: Actor, position: number): boolean => oneTurn.includes(position);

const kernel = (id: number): Actor => ({ steps: dialling(id), oneTurn: [], thread: 'kernel' });
const ztunnel = (id: number, isBound = true): Actor => ({
  steps: answering(id, isBound),
  oneTurn: [],
  thread: 'node program',
});
const agent = (allows: boolean, order: readonly ('take back' | 'walk')[] = ['take back', 'walk']): Actor => ({
  steps: changing(allows, order),
  oneTurn: [1, 2],
  thread: 'node program',
});

/** Answers before anybody asks, in one turn; where it runs beside its thread, a change can come in between. */
const prefetch = (thread: Actor['thread'] = 'node program'): Actor => ({
  steps: [
    (world, actor) => note(world, actor, { generation: world.generation, allows: world.allows }),
    (world, actor) => {
      const { allows, generation = 0 } = world.notes[actor] ?? {};
      return allows === true ? { ...world, verdict: generation } : world;
    },
  ],
  oneTurn: [1],
  thread,
});

/** Where everything has come to rest, and the policy denies: is anybody in, or could get in? */
const wrong = ({ allows, connections, verdict, generation }: World): boolean =>
  !allows &&
  (connections.some((state) => state === 'admitted' || state === 'delivered') || verdict === generation);

describe('when a change denies a pair, at whatever moment,', () => {
  const allowed = { allows: true, verdict: 1 };

  it('nobody stays in by the verdict that was in force', () => {
    const ends = explore([kernel(0), kernel(1), agent(false)], allowed, 2);
    expect(ends.length).toBeGreaterThan(1);
    expect(ends.filter(wrong)).toEqual([]);
  });

  it('nobody stays in by an answer that was under way, and none is left for the next one', () => {
    const actors = [kernel(0), ztunnel(0), kernel(1), agent(false)];
    const ends = explore(actors, { allows: true, verdict: 0 }, 2);
    expect(ends.length).toBeGreaterThan(1);
    // A connection that ztunnel decided before it knew is its own watch's to end (`policy-watch.ts`).
    const byKernel = ends.filter(
      ({ connections, verdict, generation, allows }) =>
        !allows && (connections.includes('admitted') || verdict === generation),
    );
    expect(byKernel).toEqual([]);
  });

  it('nobody stays in by an answer that nobody asked for, be it made before or after', () => {
    for (const thread of ['node program', 'kernel'] as const) {
      const actors = [kernel(0), kernel(1), prefetch(thread), prefetch(thread), agent(false)];
      const ends = explore(actors, { allows: true, verdict: 0 }, 2);
      expect(ends.some(({ connections }) => connections.includes('cut'))).toBe(true);
      expect(ends.filter(wrong)).toEqual([]);
    }
  });

  it('also when it is allowed and denied again while connections are made', () => {
    const actors = [kernel(0), ztunnel(0), kernel(1), agent(true), agent(false)];
    const ends = explore(actors, { allows: false, verdict: 0 }, 2).filter(({ allows }) => !allows);
    expect(ends.length).toBeGreaterThan(1);
    expect(ends.filter(({ verdict, generation }) => verdict === generation)).toEqual([]);
    expect(ends.filter(({ connections }) => connections.includes('admitted'))).toEqual([]);
  });
});

describe('the model would tell', () => {
  it('if connections were looked for before the verdicts are taken back', () => {
    const actors = [kernel(0), agent(false, ['walk', 'take back'])];
    expect(explore(actors, { allows: true, verdict: 1 }, 1).filter(wrong)).not.toEqual([]);
  });

  it('if an answer did not carry what it was made of', () => {
    const actors = [kernel(0), ztunnel(0, false), agent(false)];
    const ends = explore(actors, { allows: true, verdict: 0 }, 1);
    expect(ends.filter(({ verdict, generation }) => verdict === generation)).not.toEqual([]);
  });

  it('if verdicts were not taken back at all', () => {
    const actors = [kernel(0), agent(false, ['walk'])];
    expect(explore(actors, { allows: true, verdict: 1 }, 1).filter(wrong)).not.toEqual([]);
  });
});
