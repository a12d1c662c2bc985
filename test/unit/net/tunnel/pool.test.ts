import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { Ending } from '../../../../src/net/tunnel/ending.ts';
import { Pool, type Poolable } from '../../../../src/net/tunnel/pool.ts';

class Connection implements Poolable {
  available: number;

  constructor(available = 100) {
    this.available = available;
  }
}

/** Takes a stream. */
function take(pool: Pool<Connection>, key: string, dial: () => Promise<Connection>, wanted = new Ending()) {
  const open = (connection: Connection, reused: boolean) => {
    connection.available--;
    return { connection, reused };
  };
  return pool.use(key, dial, open, wanted);
}

function dialer(available?: number) {
  const made: Connection[] = [];
  const dial = async (): Promise<Connection> => {
    const connection = new Connection(available);
    made.push(connection);
    return connection;
  };
  return { made, dial };
}

describe('the pool of tunnels', () => {
  it('dials once for everybody who asks at the same time', async () => {
    const { made, dial } = dialer();
    const pool = new Pool<Connection>();
    const taken = await Promise.all(Array.from({ length: 100 }, () => take(pool, 'k', dial)));
    expect(made).toHaveLength(1);
    expect(new Set(taken.map(({ connection }) => connection)).size).toBe(1);
  });

  it('dials another connection for those who find the first one full, one at a time', async () => {
    const { made, dial } = dialer(10);
    const pool = new Pool<Connection>();
    await Promise.all(Array.from({ length: 35 }, () => take(pool, 'k', dial)));
    expect(made.map(({ available }) => available)).toEqual([0, 0, 0, 5]);
  });

  it('says whether the connection had been standing', async () => {
    const { dial } = dialer();
    const pool = new Pool<Connection>();
    expect((await take(pool, 'k', dial)).reused).toBe(false);
    expect((await take(pool, 'k', dial)).reused).toBe(true);
  });

  it('keeps keys apart', async () => {
    const { made, dial } = dialer();
    const pool = new Pool<Connection>();
    await take(pool, 'a', dial);
    await take(pool, 'b', dial);
    expect(made).toHaveLength(2);
  });

  it('skips a connection without room, and uses it again when it has some', async () => {
    const { made, dial } = dialer();
    const pool = new Pool<Connection>();
    const { connection: first } = await take(pool, 'k', dial);
    first.available = 0;
    expect((await take(pool, 'k', dial)).connection).toBe(made[1]);
    first.available = 1;
    expect((await take(pool, 'k', dial)).connection).toBe(first);
  });

  it('does not hand out a connection that was removed', async () => {
    const { dial } = dialer();
    const pool = new Pool<Connection>();
    const { connection } = await take(pool, 'k', dial);
    pool.remove('k', connection);
    expect((await take(pool, 'k', dial)).connection).not.toBe(connection);
  });

  it('fails everybody who waited for a failed dial, and dials anew for the next', async () => {
    const { dial } = dialer();
    const pool = new Pool<Connection>();
    let dials = 0;
    const failing = async (): Promise<Connection> => {
      dials++;
      throw new Error('no');
    };
    const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => take(pool, 'k', failing)));
    expect(outcomes.map(({ status }) => status)).toEqual(Array(5).fill('rejected'));
    expect(dials).toBe(1);
    await expect(take(pool, 'k', dial)).resolves.toMatchObject({ reused: false });
  });

  it('lets go who no longer waits for a dial, which goes on for the others', async () => {
    const dialled = Promise.withResolvers<Connection>();
    const pool = new Pool<Connection>();
    const impatience = new Ending();
    const impatient = take(pool, 'k', () => dialled.promise, impatience);
    const patient = take(pool, 'k', () => dialled.promise);
    impatience.end(new MeshError('DIAL_FAILED', 'enough'));
    await expect(impatient).rejects.toMatchObject({ code: 'DIAL_FAILED' });
    const connection = new Connection();
    dialled.resolve(connection);
    await expect(patient).resolves.toMatchObject({ connection });
  });

  it('refuses a new connection that takes no streams, rather than dialling for ever', async () => {
    const { made, dial } = dialer(0);
    await expect(take(new Pool<Connection>(), 'k', dial)).rejects.toMatchObject({ code: 'OVERLOADED' });
    expect(made).toHaveLength(1);
  });
});
