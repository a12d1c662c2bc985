import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { AuthorityDirectory } from '../../../../src/controller/ca/authority-directory.ts';
import { CertificateAuthority } from '../../../../src/controller/ca/authority.ts';
import { describeStage, rotationStage } from '../../../../src/controller/ca/rotation-stage.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { hourMs, trustDomain } from '../../identity/support/fake-ca.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-ca-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

it('a rotation goes from distributing through retiring back to stable, also for a process that restarts in each', async () => {
  const clock = new FakeClock();
  const began = clock.now();
  const open = async () => {
    const store = new AuthorityDirectory(join(directory, 'ca'), trustDomain);
    return await CertificateAuthority.open({ store, trustDomain }, clock);
  };
  const stageNow = async () => rotationStage((await open()).status());
  expect(await stageNow()).toEqual({ stage: 'stable' });
  await (await open()).rotateRoot();
  expect(await stageNow()).toEqual({ stage: 'distributing', until: began + 24 * hourMs });
  expect(describeStage(await stageNow())).toContain('it signs from 2026-01-02');
  await clock.advance(24 * hourMs);
  expect(await stageNow()).toEqual({ stage: 'retiring', until: began + 48.25 * hourMs });
  await clock.advance(24.25 * hourMs);
  expect(await stageNow()).toEqual({ stage: 'stable' });
});
