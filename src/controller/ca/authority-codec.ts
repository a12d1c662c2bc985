/**
 * The authority's state as JSON and back. Reading checks everything that can be checked, so that a damaged or
 * mixed-up file is found at the start of the process and not in a handshake.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { Value } from 'typebox/value';
import { MeshError } from '../../base/errors.ts';
import { parseTrustDomain } from '../../model/identity.ts';
import type { AuthorityState, Lineage } from './authority-state.ts';
import type { Signer } from './issue.ts';

const signerSchema = Type.Object({ certificate: Type.String(), privateKey: Type.String() });

const stateSchema = Type.Object({
  format: Type.Literal(1),
  trustDomain: Type.String(),
  lineages: Type.Array(
    Type.Object({
      root: signerSchema,
      intermediate: signerSchema,
      issuesFrom: Type.Number(),
      trustedUntil: Type.Union([Type.Number(), Type.Null()]),
    }),
    { minItems: 1 },
  ),
});

export function encodeState({ trustDomain, lineages }: AuthorityState): string {
  const file: Static<typeof stateSchema> = {
    format: 1,
    trustDomain,
    lineages: lineages.map((lineage) => ({ ...lineage, trustedUntil: lineage.trustedUntil ?? null })),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** @throws MeshError CA_STATE naming what is wrong; never with the contents, which hold keys. */
export function decodeState(text: string): AuthorityState {
  const file = parseJson(text);
  if (!Value.Check(stateSchema, file)) throw damaged('it does not have the fields of an authority');
  const lineages = file.lineages.map((lineage) => ({
    ...lineage,
    trustedUntil: lineage.trustedUntil ?? undefined,
  }));
  lineages.forEach(checkLineage);
  return { trustDomain: parseTrustDomain(file.trustDomain), lineages };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message quotes the text, which may be a key.
    throw damaged('it is not JSON');
  }
}

function checkLineage({ root, intermediate }: Lineage): void {
  const [rootCertificate, intermediateCertificate] = [root, intermediate].map(readSigner);
  if (rootCertificate === undefined || intermediateCertificate === undefined) return;
  checkSignature(rootCertificate, rootCertificate, 'the root did not sign itself');
  checkSignature(intermediateCertificate, rootCertificate, 'the root did not sign the intermediate');
}

function readSigner({ certificate, privateKey }: Signer): X509Certificate {
  const { parsed, key } = parseSigner(certificate, privateKey);
  if (!parsed.ca) throw damaged('a certificate is not an authority’s');
  if (!parsed.checkPrivateKey(key)) throw damaged('a private key does not belong to its certificate');
  return parsed;
}

function parseSigner(certificate: string, privateKey: string) {
  try {
    return { parsed: new X509Certificate(certificate), key: createPrivateKey(privateKey) };
  } catch (cause) {
    throw damaged('a certificate or private key in it cannot be decoded', cause);
  }
}

function checkSignature(subject: X509Certificate, issuer: X509Certificate, otherwise: string): void {
  if (!subject.checkIssued(issuer) || !subject.verify(issuer.publicKey)) throw damaged(otherwise);
}

function damaged(reason: string, cause?: unknown): MeshError {
  return new MeshError('CA_STATE', `the certificate authority’s file is damaged: ${reason}`, {
    cause,
    hint: 'restore the file from a backup; it is never made anew by itself, because that would end trust in every certificate',
  });
}
