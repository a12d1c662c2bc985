/** A throw-away certificate authority with one leaf a side, made by openssl: ECDSA P-256, as the mesh has them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { output } from '../process.ts';

export interface Certificates {
  readonly root: string;
  /** Chain and private key in one file, as HAProxy wants them. */
  readonly leaf: (name: string) => string;
}

const openssl = (...args: readonly string[]): Promise<string> => output(['openssl', ...args], 10_000);

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];

export async function makeCertificates(directory: string, names: readonly string[]): Promise<Certificates> {
  const at = (file: string): string => join(directory, file);
  const [root, rootKey] = [at('root.pem'), at('root.key')];
  await openssl('req', '-x509', ...newKey, '-subj', '/CN=bench', '-keyout', rootKey, '-out', root);
  for (const name of names) {
    const [key, certificate] = [at(`${name}.key`), at(`${name}.crt`)];
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
    const ca = ['-CA', root, '-CAkey', rootKey];
    await openssl('req', '-x509', ...ca, ...newKey, ...subject, '-keyout', key, '-out', certificate);
    const both = [certificate, key].map((file) => readFileSync(file, 'utf8')).join('');
    writeFileSync(at(`${name}.pem`), both, { mode: 0o600 });
  }
  return { root, leaf: (name) => at(`${name}.pem`) };
}
