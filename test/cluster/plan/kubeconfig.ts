/** Kubeconfig files. Pure. */
import { stringify } from 'yaml';
import { apiServer } from './layout.ts';

/** PEM, all of them. */
export interface ClientCredentials {
  readonly authority: string;
  readonly certificate: string;
  readonly privateKey: string;
}

export function kubeconfig(user: string, credentials: ClientCredentials): string {
  const name = 'mesh-ebpf';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name, cluster: { server: apiServer, 'certificate-authority-data': base64(credentials.authority) } },
    ],
    users: [
      {
        name: user,
        user: {
          'client-certificate-data': base64(credentials.certificate),
          'client-key-data': base64(credentials.privateKey),
        },
      },
    ],
    contexts: [{ name, context: { cluster: name, user } }],
    'current-context': name,
  });
}

const base64 = (pem: string): string => Buffer.from(pem).toString('base64');
