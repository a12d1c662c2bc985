import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { KeyObject, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { PublicKey } from '@peculiar/x509';
import { AuthorityDirectory } from '../../../../src/controller/ca/authority-directory.ts';
import {
  type AuthorityOptions,
  CertificateAuthority,
  type Leaf,
} from '../../../../src/controller/ca/authority.ts';
import { verifyIssued } from '../../../../src/identity/issued-certificate.ts';
import { generateKeyPair } from '../../../../src/identity/key-pair.ts';
import { parseSpiffeId } from '../../../../src/model/identity.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { hourMs, idOf, trustDomain } from '../../identity/support/fake-ca.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

const dayMs = 24 * hourMs;
const minuteMs = 60_000;
const web = idOf('web');

let directory: string;
let clock: FakeClock;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-ca-'));
  clock = new FakeClock();
});
afterEach(() => rmSync(directory, { recursive: true }));

const open = (options: Partial<AuthorityOptions> = {}): Promise<CertificateAuthority> =>
  CertificateAuthority.open(
    { store: new AuthorityDirectory(join(directory, 'ca'), trustDomain), trustDomain, ...options },
    clock,
  );

const keys = generateKeyPair();

async function issue(authority: CertificateAuthority, wantedMs = 0): Promise<Leaf> {
  return authority.issue(web, await PublicKey.create((await keys).publicKey), wantedMs);
}

const parsed = (leaf: Leaf): X509Certificate => new X509Certificate(leaf.chain[0] ?? '');

/** As the node sees it; `roots` are what the verifying side trusts. */
async function accepts(leaf: Leaf, roots: readonly string[]): Promise<boolean> {
  const privateKey = KeyObject.from((await keys).privateKey);
  try {
    verifyIssued([...leaf.chain, roots.join('')], { identity: web, privateKey, now: clock.now() });
    return true;
  } catch {
    return false;
  }
}

/** Independent of our code: `openssl verify` at the test's time. */
function opensslVerify(leaf: Leaf, roots: readonly string[], purpose: string): string {
  const [rootsFile, chainFile, leafFile] = ['roots', 'chain', 'leaf'].map((name) => join(directory, name));
  writeFileSync(rootsFile ?? '', roots.join(''));
  writeFileSync(chainFile ?? '', leaf.chain.slice(1).join(''));
  writeFileSync(leafFile ?? '', leaf.chain[0] ?? '');
  const at = String(Math.floor(clock.now() / 1000));
  const args = [
    'verify',
    '-x509_strict',
    '-attime',
    at,
    '-purpose',
    purpose,
    '-CAfile',
    rootsFile,
    '-untrusted',
  ];
  return execFileSync('openssl', [...args, chainFile, leafFile].map(String), {
    encoding: 'utf8',
    stdio: 'pipe',
  });
}

const opensslText = (pem = ''): string =>
  execFileSync('openssl', ['x509', '-noout', '-text'], { input: pem, encoding: 'utf8' });

describe('a workload’s certificate', () => {
  it('names the identity as its only name, in a critical extension under an empty subject', async () => {
    const leaf = parsed(await issue(await open()));
    expect(leaf.subjectAltName).toBe(`URI:${web}`);
    expect(leaf.subject).toBeFalsy();
    const text = opensslText(leaf.toString());
    expect(text).toMatch(/Subject Alternative Name: critical/);
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    expect(text).toMatch(/TLS Web Server Authentication, TLS Web Client Authentication/);
    expect(text).toMatch(/ecdsa-with-SHA256/);
    expect(text).toMatch(/CA:FALSE/);
  });

  it('satisfies openssl, as client and as server', async () => {
    const leaf = await issue(await open());
    expect(opensslVerify(leaf, leaf.roots, 'sslserver')).toContain('OK');
    expect(opensslVerify(leaf, leaf.roots, 'sslclient')).toContain('OK');
  });

  it('lives 24 hours from now, and began 15 minutes ago for nodes whose clock is behind', async () => {
    const leaf = parsed(await issue(await open()));
    expect(leaf.validToDate.getTime()).toBe(clock.now() + dayMs);
    expect(leaf.validFromDate.getTime()).toBe(clock.now() - 15 * minuteMs);
  });

  it('lives shorter when asked to, and never longer than 24 hours', async () => {
    const authority = await open();
    expect((await issue(authority, hourMs)).notAfter).toBe(clock.now() + hourMs);
    expect((await issue(authority, 365 * dayMs)).notAfter).toBe(clock.now() + dayMs);
    expect((await issue(authority, Number.MAX_VALUE)).notAfter).toBe(clock.now() + dayMs);
  });

  it('with a short life is not past its middle when it is new', async () => {
    const leaf = parsed(await issue(await open(), 10 * minuteMs));
    const middle = (leaf.validFromDate.getTime() + leaf.validToDate.getTime()) / 2;
    expect(middle).toBeGreaterThan(clock.now() + minuteMs);
  });

  it('never outlives its issuer', async () => {
    const authority = await open({ intermediateLifetimeMs: 3 * dayMs });
    await clock.advance(3 * dayMs - hourMs);
    const leaf = await issue(authority);
    expect(leaf.notAfter).toBe(clock.now() + hourMs);
    expect(new X509Certificate(leaf.chain[1] ?? '').validToDate.getTime()).toBe(leaf.notAfter);
  });

  it('is not made by an expired issuer', async () => {
    const authority = await open({ intermediateLifetimeMs: dayMs });
    await clock.advance(2 * dayMs);
    await expect(issue(authority)).rejects.toMatchObject({
      code: 'CA_STATE',
      hint: expect.stringContaining('controller'),
    });
    await authority.rotateIntermediate();
    expect(await accepts(await issue(authority), [authority.trustBundle()])).toBe(true);
  });

  it('has a serial number of 16 bytes that is never the same', async () => {
    const authority = await open();
    const serials = await Promise.all(
      Array.from({ length: 20 }, async () => parsed(await issue(authority)).serialNumber),
    );
    expect(new Set(serials).size).toBe(20);
    expect(serials.every((serial) => /^[4-7][0-9A-F]{31}$/.test(serial))).toBe(true);
  });

  it('is never of another trust domain', async () => {
    const authority = await open();
    const publicKey = await PublicKey.create((await keys).publicKey);
    const foreign = parseSpiffeId('spiffe://other.example/ns/shop/sa/web');
    await expect(authority.issue(foreign, publicKey, 0)).rejects.toMatchObject({ code: 'IDENTITY_INVALID' });
  });
});

describe('root and intermediate', () => {
  it('live 10 years and one year', async () => {
    const [lineage] = (await open()).status().lineages;
    expect(lineage?.rootExpires).toBe(clock.now() + 3650 * dayMs);
    expect(lineage?.intermediateExpires).toBe(clock.now() + 365 * dayMs);
  });

  it('cannot sign further authorities below the intermediate', async () => {
    const { chain, roots } = await issue(await open());
    expect(opensslText(chain[1])).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    expect(opensslText(roots[0])).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:1/);
    expect(opensslText(chain[1])).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
  });

  it('are the same after a restart', async () => {
    const before = (await open()).trustBundle();
    expect((await open()).trustBundle()).toBe(before);
  });

  it('are one set when two controllers start at the same moment', async () => {
    const [a, b] = await Promise.all([open(), open()]);
    expect(a.trustBundle()).toBe(b.trustBundle());
  });
});

describe('the authority’s server certificate', () => {
  it('lives a day however short leaves live, so that nodes whose clock is off still reach the authority', async () => {
    const authority = await open({ leafLifetimeMs: minuteMs });
    expect((await issue(authority)).notAfter).toBe(clock.now() + minuteMs);
    const server = await authority.issueServer(['controller.mesh']);
    expect(server.notAfter).toBe(clock.now() + dayMs);
    expect(parsed(server).validFromDate.getTime()).toBe(clock.now() - 15 * minuteMs);
  });

  it('has the listener’s names and no identity', async () => {
    const { chain, privateKey, roots } = await (
      await open()
    ).issueServer(['controller.mesh', '10.0.0.1', '::1']);
    const leaf = new X509Certificate(chain[0] ?? '');
    expect(leaf.subjectAltName).toBe('DNS:controller.mesh, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1');
    expect(privateKey).toContain('PRIVATE KEY');
    expect(opensslVerify({ chain, roots, notAfter: 0 }, roots, 'sslserver')).toContain('OK');
    expect(() => opensslVerify({ chain, roots, notAfter: 0 }, roots, 'sslclient')).toThrow();
  });
});

describe('rotating the intermediate', () => {
  it('changes who signs, and nothing for those who verify', async () => {
    const authority = await open();
    const before = await issue(authority);
    await authority.rotateIntermediate();
    const after = await issue(authority);
    expect(after.chain[1]).not.toBe(before.chain[1]);
    expect(after.roots).toEqual(before.roots);
    expect(await accepts(before, after.roots)).toBe(true);
    expect(await accepts(after, before.roots)).toBe(true);
  });

  it('by another process is seen by the running controller', async () => {
    const [controller, command] = [await open(), await open()];
    await command.rotateIntermediate();
    expect((await issue(controller)).chain[1]).toBe((await issue(command)).chain[1]);
  });
});

describe('rotating the root', () => {
  it('never leaves anybody with a certificate that somebody else does not trust', async () => {
    const authority = await open();
    const issued: { readonly leaf: Leaf; readonly at: number }[] = [
      { leaf: await issue(authority), at: clock.now() },
    ];
    await authority.rotateRoot();
    for (let hour = 0; hour <= 80; hour += 8) {
      issued.push({ leaf: await issue(authority), at: clock.now() });
      const alive = issued.filter(({ leaf }) => clock.now() < leaf.notAfter).map(({ leaf }) => leaf);
      for (const subject of alive) {
        for (const verifier of alive) expect(await accepts(subject, verifier.roots)).toBe(true);
      }
      await clock.advance(8 * hourMs);
    }
    const [first, last] = [issued[0], issued.at(-1)];
    expect(last?.leaf.roots).toHaveLength(1);
    expect(last?.leaf.roots).not.toEqual(first?.leaf.roots);
  });

  it('trusts the new root at once, signs with it after a leaf’s lifetime, and drops the old one after another', async () => {
    const authority = await open();
    const [old] = (await issue(authority)).roots;
    await authority.rotateRoot();
    const stage = async () => {
      const { chain, roots } = await issue(authority);
      const signedByOld = new X509Certificate(chain[1] ?? '').checkIssued(new X509Certificate(old ?? ''));
      return { roots: roots.length, signedByOld };
    };
    expect(await stage()).toEqual({ roots: 2, signedByOld: true });
    await clock.advance(dayMs);
    expect(await stage()).toEqual({ roots: 2, signedByOld: false });
    await clock.advance(dayMs + hourMs);
    expect(await stage()).toEqual({ roots: 1, signedByOld: false });
  });

  it('keeps both chains valid for openssl during the overlap', async () => {
    const authority = await open();
    const before = await issue(authority);
    await authority.rotateRoot();
    await clock.advance(dayMs - hourMs);
    const { roots } = await issue(authority);
    expect(opensslVerify(before, roots, 'sslclient')).toContain('OK');
    await clock.advance(hourMs);
    expect(opensslVerify(await issue(authority), roots, 'sslclient')).toContain('OK');
  });

  it('cannot be begun twice, and says when it can be', async () => {
    const authority = await open();
    await authority.rotateRoot();
    await expect(authority.rotateRoot()).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      hint: expect.stringContaining('2026-01-03'),
    });
    await clock.advance(3 * dayMs);
    await authority.rotateRoot();
    expect((await issue(authority)).roots).toHaveLength(2);
  });

  it('can be forced when a key was stolen', async () => {
    const authority = await open();
    const [stolen] = (await issue(authority)).roots;
    await authority.rotateRoot({ overlapMs: 0 });
    await clock.advance(15 * minuteMs);
    const { roots } = await issue(authority);
    expect(roots).toHaveLength(1);
    expect(roots).not.toContain(stolen);
  });

  it('survives a restart at any stage', async () => {
    await (await open()).rotateRoot();
    await clock.advance(dayMs);
    const reopened = await open();
    expect(await accepts(await issue(reopened), [reopened.trustBundle()])).toBe(true);
    expect(reopened.status().lineages.map(({ issuing }) => issuing)).toEqual([false, true]);
  });

  it('leaves no old key on disk when it is over', async () => {
    const authority = await open();
    await authority.rotateRoot();
    expect(await authority.dropRetired()).toBe(0);
    await clock.advance(3 * dayMs);
    expect([await authority.dropRetired(), await authority.dropRetired()]).toEqual([1, 0]);
    const [file = ''] = readdirSync(join(directory, 'ca'));
    expect(readFileSync(join(directory, 'ca', file), 'utf8').match(/PRIVATE KEY-----\\nM/g)).toHaveLength(2);
  });
});
