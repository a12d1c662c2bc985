import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import * as fc from 'fast-check';
import { MeshError } from '../../../../src/base/errors.ts';
import { CertificateAuthority } from '../../../../src/controller/ca/authority.ts';
import { decodeState, encodeState } from '../../../../src/controller/ca/authority-codec.ts';
import { AuthorityDirectory } from '../../../../src/controller/ca/authority-directory.ts';
import { parseTrustDomain } from '../../../../src/model/identity.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { trustDomain } from '../../identity/support/fake-ca.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

let parent: string;
let directory: string;
const clock = new FakeClock();

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'mesh-ebpf-ca-'));
  directory = join(parent, 'state', 'ca');
});
afterEach(() => rmSync(parent, { recursive: true }));

const open = (domain = trustDomain): Promise<CertificateAuthority> =>
  CertificateAuthority.open({ store: new AuthorityDirectory(directory, domain), trustDomain: domain }, clock);
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
const stateFile = (version = 1): string => join(directory, `authority-${version}.json`);

describe('the authority’s directory', () => {
  it('is open to its owner only, and so is every file in it', async () => {
    const authority = await open();
    await authority.rotateIntermediate();
    expect(mode(directory)).toBe('700');
    expect(readdirSync(directory).map((name) => mode(join(directory, name)))).toEqual(['600']);
  });

  it.each([
    ['the directory', () => chmodSync(directory, 0o750)],
    ['the file', () => chmodSync(stateFile(), 0o640)],
  ])('is refused when others may read %s', async (_what, spoil) => {
    await open();
    spoil();
    await expect(open()).rejects.toMatchObject({
      code: 'CA_STATE',
      hint: expect.stringContaining('chmod go= '),
    });
  });

  it('is refused when it existed before and is open to others', async () => {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    await expect(open()).rejects.toMatchObject({ code: 'CA_STATE' });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('is refused for another trust domain', async () => {
    await open();
    await expect(open(parseTrustDomain('other.example'))).rejects.toMatchObject({
      code: 'CA_STATE',
      hint: expect.stringContaining('start with trust domain cluster.local'),
    });
  });
});

describe('a damaged file', () => {
  it.each([
    ['empty', () => ''],
    ['cut short', (text: string) => text.slice(0, text.length / 2)],
    ['not an authority', () => '{"format":1}'],
    ['of a future format', (text: string) => text.replace('"format": 1', '"format": 2')],
    [
      'with a damaged certificate',
      (text: string) => text.replace('CERTIFICATE-----\\nMII', 'CERTIFICATE-----\\nMIX'),
    ],
  ])('that is %s is an error that says what to do, and is not made anew', async (_what, damage) => {
    await open();
    const damaged = damage(readFileSync(stateFile(), 'utf8'));
    writeFileSync(stateFile(), damaged);
    await expect(open()).rejects.toMatchObject({ code: 'CA_STATE', hint: expect.stringContaining('backup') });
    expect(readFileSync(stateFile(), 'utf8')).toBe(damaged);
  });

  it('with keys and certificates mixed up is refused', async () => {
    await open();
    const state = decodeState(readFileSync(stateFile(), 'utf8'));
    const [lineage] = state.lineages;
    if (lineage === undefined) throw new Error('unreachable');
    const { root, intermediate } = lineage;
    const swapped = [
      { ...lineage, root: { ...root, privateKey: intermediate.privateKey } },
      { ...lineage, intermediate: root },
      { ...lineage, root: intermediate },
    ];
    for (const lineages of swapped.slice(0, 1).concat(swapped.slice(2))) {
      const text = encodeState({ ...state, lineages: [lineages] });
      expect(() => decodeState(text)).toThrow(expect.objectContaining({ code: 'CA_STATE' }));
    }
  });

  it('with the intermediate of another root is refused', async () => {
    await open();
    const mine = decodeState(readFileSync(stateFile(), 'utf8'));
    const other = join(parent, 'other');
    await CertificateAuthority.open(
      { store: new AuthorityDirectory(other, trustDomain), trustDomain },
      clock,
    );
    const theirs = decodeState(readFileSync(join(other, 'authority-1.json'), 'utf8'));
    const mixed = mine.lineages.map((l, i) => ({
      ...l,
      intermediate: theirs.lineages[i]?.intermediate ?? l.root,
    }));
    const text = encodeState({ ...mine, lineages: mixed });
    expect(() => decodeState(text)).toThrow(/did not sign the intermediate/);
  });

  it('never has its contents quoted in the error: they hold keys', async () => {
    await open();
    const text = readFileSync(stateFile(), 'utf8');
    const key = /PRIVATE KEY-----\\n([^\\]+)/.exec(text)?.[1] ?? '';
    expect(key.length).toBeGreaterThan(20);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ minLength: 1, maxLength: 3 }), (at, patch) => {
        expect(describeFailure(text.slice(0, at) + patch + text.slice(at + 1))).not.toContain(
          key.slice(0, 20),
        );
      }),
    );
  });
});

/** Everything an error could show: message, hint, causes. */
function describeFailure(text: string): string {
  try {
    decodeState(text);
    return '';
  } catch (error) {
    expect(error).toBeInstanceOf(MeshError);
    const { message, hint, cause } = error as MeshError;
    return [message, hint, cause instanceof Error ? cause.message : ''].join(' ');
  }
}

describe('a crash between writes', () => {
  it('leaves the old version in force, and its rest is cleared by the next change', async () => {
    const authority = await open();
    const before = authority.trustBundle();
    const rest = `${stateFile(2)}.00000000-0000-4000-8000-000000000000.tmp`;
    writeFileSync(rest, 'half a st', { mode: 0o600 });
    expect((await open()).trustBundle()).toBe(before);
    await authority.rotateIntermediate();
    expect(readdirSync(directory)).toEqual(['authority-2.json']);
  });

  it('after the new version, before the old one was removed, leaves the new one in force', async () => {
    const authority = await open();
    const old = readFileSync(stateFile(1));
    await authority.rotateRoot();
    writeFileSync(stateFile(1), old, { mode: 0o600 });
    expect((await open()).status().lineages).toHaveLength(2);
  });
});

describe('two changes at once', () => {
  it('cannot lose one another: the second is told', async () => {
    await open();
    const [a, b] = [
      new AuthorityDirectory(directory, trustDomain),
      new AuthorityDirectory(directory, trustDomain),
    ];
    const [seenByA, seenByB] = [a.read(), b.read()];
    if (seenByA === undefined || seenByB === undefined) throw new Error('unreachable');
    await a.write(seenByA.version, seenByA.state);
    await expect(b.write(seenByB.version, seenByB.state)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(b.read()?.version).toBe('2');
  });

  it('of one authority by two rotations end with both or one error, never with a damaged file', async () => {
    const authority = await open();
    const results = await Promise.allSettled([
      authority.rotateIntermediate(),
      authority.rotateIntermediate(),
    ]);
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect((await open()).status().lineages).toHaveLength(1);
  });
});
