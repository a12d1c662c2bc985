/**
 * Where certificates and keys survive a restart of the worker: sealed memory that the keeper holds. They never touch a
 * disk; they are as reachable as in the worker's own memory (by root, through /proc), and end with the keeper, or
 * sooner: when the identity has no pod any more, and when no worker comes back in time. What is found there is checked
 * like an answer of the certificate authority.
 */
import { createHash, createPrivateKey } from 'node:crypto';
import { MeshError } from '../base/errors.ts';
import type { Credentials } from '../model/credentials.ts';
import { identityParts, type SpiffeId } from '../model/identity.ts';
import type { NativeBinding } from '../native/binding.ts';
import { type Keeper, noKeeper, readMemory } from '../native/keeper.ts';
import { type IssuedCertificate, verifyIssued } from './issued-certificate.ts';

/** A certificate in use: what TLS needs, and what is known of it. */
export interface HeldCertificate {
  readonly credentials: Credentials;
  readonly certificate: IssuedCertificate;
}

export interface CredentialVault {
  /** What an earlier worker kept. @throws MeshError CERTIFICATE_INVALID if it is of no use (any more) */
  take(identity: SpiffeId, now: number): HeldCertificate | undefined;
  keep(credentials: Credentials): void;
  forget(identity: SpiffeId): void;
}

/** Keeps nothing. */
export const noVault: CredentialVault = { take: () => undefined, keep() {}, forget() {} };

type Native = Pick<NativeBinding, 'sealedMemory' | 'closeFd'>;

export const keeperVault = (native: Native, keeper: Keeper): CredentialVault =>
  keeper === noKeeper ? noVault : connectedVault(native, keeper);

const connectedVault = (native: Native, keeper: Keeper): CredentialVault => ({
  take(identity, now) {
    const fd = keeper.take(nameOf(identity));
    if (fd === undefined) return undefined;
    try {
      return parseKept(readMemory(fd), identity, now);
    } finally {
      native.closeFd(fd);
    }
  },
  keep(credentials) {
    const fd = native.sealedMemory(Buffer.from(JSON.stringify(keptFrom(credentials))));
    keeper.hold(nameOf(credentials.identity), fd);
    native.closeFd(fd);
  },
  forget: (identity) => keeper.drop(nameOf(identity)),
});

/** Identities may be longer than names. */
const nameOf = (identity: SpiffeId): string =>
  `certificate:${createHash('sha256').update(identity).digest('hex')}`;

type Kept = Readonly<Record<'certificateChain' | 'privateKey' | 'trustedRoots', string>>;

const keptFrom = ({ certificateChain, privateKey, trustedRoots }: Credentials): Kept => ({
  certificateChain,
  privateKey,
  trustedRoots,
});

function parseKept(bytes: Buffer, identity: SpiffeId, now: number): HeldCertificate {
  const { certificateChain, privateKey, trustedRoots } = parseTexts(bytes, identity);
  const answer = [certificateChain, trustedRoots];
  const certificate = verifyIssued(answer, { identity, privateKey: createPrivateKey(privateKey), now });
  const { trustDomain } = identityParts(identity);
  const { notAfter } = certificate;
  return {
    certificate,
    credentials: { identity, trustDomain, certificateChain, privateKey, trustedRoots, notAfter },
  };
}

/** No message of a parser may get out: it could quote the key. */
function parseTexts(bytes: Buffer, identity: SpiffeId): Kept {
  try {
    const parsed = JSON.parse(bytes.toString()) as Partial<Record<keyof Kept, unknown>>;
    const { certificateChain, privateKey, trustedRoots } = parsed;
    if (
      typeof certificateChain === 'string' &&
      typeof privateKey === 'string' &&
      typeof trustedRoots === 'string'
    )
      return { certificateChain, privateKey, trustedRoots };
  } catch {
    // Said below.
  }
  throw new MeshError('CERTIFICATE_INVALID', `what an earlier worker kept for ${identity} is not readable`, {
    hint: 'a new certificate is asked for',
  });
}
