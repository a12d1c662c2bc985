/**
 * Key pairs of workloads: ECDSA P-256, made fresh for every certificate. The private key exists in this process's
 * memory only; nothing here or in its callers writes it anywhere.
 */
import { KeyObject, webcrypto } from 'node:crypto';

/** Algorithm parameters for WebCrypto and for signing with such a key. */
export const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export type KeyPair = webcrypto.CryptoKeyPair;

export async function generateKeyPair(): Promise<KeyPair> {
  return webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
}

/** PKCS #8 in PEM, the form TLS takes. */
export function privateKeyPem(keys: KeyPair): string {
  return KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString();
}
