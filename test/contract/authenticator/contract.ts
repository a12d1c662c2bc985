/** What every Authenticator promises, whatever proves identity to it. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { Authenticator } from '../../../src/controller/caller.ts';

export interface AuthenticatorRig {
  readonly authenticator: Authenticator;
  /** A token of the node program of this node. */
  tokenOf(node: string): string;
  /** From now on it is worthless. */
  revoke(node: string): Promise<void> | void;
  /** What it relies on does not answer. */
  breakDown(): void;
  close(): Promise<void> | void;
}

export function authenticatorContract(name: string, start: () => Promise<AuthenticatorRig>): void {
  describe(`${name}, as an authenticator`, () => {
    let rig: AuthenticatorRig;
    const peer = '10.0.0.1';
    beforeEach(async () => {
      rig = await start();
    });
    afterEach(() => rig.close());

    it('tells nodes apart by their tokens', async () => {
      const { authenticator } = rig;
      for (const node of ['node-a', 'node-b']) {
        expect(await authenticator.authenticate(rig.tokenOf(node), peer)).toEqual({ type: 'node', node });
      }
    });

    it('gives one answer to many questions at once', async () => {
      const token = rig.tokenOf('node-a');
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => rig.authenticator.authenticate(token, peer)),
      );
      expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    });

    it('knows a token no longer once it is worthless', async () => {
      const token = rig.tokenOf('node-a');
      await rig.authenticator.authenticate(token, peer);
      await rig.revoke('node-a');
      expect(await rig.authenticator.authenticate(token, peer)).toMatchObject({ type: 'stranger' });
    });

    it('calls everything else a stranger, and says why', async () => {
      const token = rig.tokenOf('node-a');
      for (const wrong of ['', 'x', token.slice(1), `${token}.x`, 'a.b.c', 'a'.repeat(100_000)]) {
        const answer = await rig.authenticator.authenticate(wrong, peer);
        expect(answer).toEqual({ type: 'stranger', reason: expect.stringMatching(/\w+ \w+/) });
        expect(JSON.stringify(answer)).not.toContain(token);
      }
      await fc.assert(
        fc.asyncProperty(fc.string(), async (wrong) => {
          expect(await rig.authenticator.authenticate(wrong, peer)).toMatchObject({ type: 'stranger' });
        }),
      );
    });

    it('grants nothing when it cannot find out: it throws a coded error without the token', async () => {
      const token = rig.tokenOf('node-a');
      rig.breakDown();
      const error: unknown = await rig.authenticator
        .authenticate(token, peer)
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'UNAVAILABLE' });
      expect((error as Error).message).not.toContain(token);
    });
  });
}
