import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimLab, readLabState, writeLabState } from '../../../src/lab/lab-file.ts';
import { type LabLayout, labLayout } from '../../../src/lab/layout.ts';
import { labState } from './objects.ts';

let layout: LabLayout;

beforeEach(() => {
  layout = labLayout(join(mkdtempSync(join(tmpdir(), 'mesh-lab-file-')), 'lab'));
});
afterEach(() => rmSync(join(layout.stateDir, '..'), { recursive: true }));

describe('a lab', () => {
  it('is claimed by one of several starts at once; the others learn that it is being started', async () => {
    const states = Array.from({ length: 8 }, (_, i) => labState({ nodeCount: i + 1 }));
    const outcomes = await Promise.allSettled(states.map((state) => claimLab(layout, state)));
    const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
    const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    expect(reasons).toHaveLength(7);
    for (const reason of reasons) {
      expect(reason).toMatchObject({
        code: 'ALREADY_EXISTS',
        message: 'a lab is just being started',
        hint: expect.stringContaining('lab down'),
      });
    }
    expect(await readLabState(layout)).toEqual(states[winner]);
    expect(readdirSync(layout.stateDir)).toEqual(['lab.json']);
  });

  it('that is up is said to run', async () => {
    await writeLabState(layout, labState({ kubelets: { 'node-a': { pid: 1, startTime: '1' } } }));
    await expect(claimLab(layout, labState())).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: 'a lab is running already',
    });
  });
});
