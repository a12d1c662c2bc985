/** What a decision may depend on: proved by TLS or by TCP, nothing the client merely said. */
import type { IpAddress, Port } from '../base/ip.ts';
import { identityParts, type SpiffeId } from '../model/identity.ts';
import { type AddressWords, addressWords } from './address-words.ts';

export interface AccessFacts {
  /** From the certificate; undefined for plaintext. */
  readonly identity: SpiffeId | undefined;
  readonly sourceIp: IpAddress;
  /** On the destination workload. */
  readonly destinationIp: IpAddress;
  readonly port: Port;
}

/** The facts in the forms that fields compare; identity forms are undefined without an identity. */
export interface Attributes {
  readonly principal: string | undefined;
  readonly namespace: string | undefined;
  /** `NAMESPACE/NAME`. */
  readonly serviceAccount: string | undefined;
  readonly trustDomain: string | undefined;
  readonly source: AddressWords;
  readonly destination: AddressWords;
  readonly facts: AccessFacts;
}

const scheme = 'spiffe://';

/** Users write principals both ways; an identity is compared without the scheme. */
export const withoutScheme = (principal: string): string =>
  principal.startsWith(scheme) ? principal.slice(scheme.length) : principal;

export function attributesOf(facts: AccessFacts): Attributes {
  const { identity, sourceIp, destinationIp } = facts;
  const addresses = { source: addressWords(sourceIp), destination: addressWords(destinationIp), facts };
  if (identity === undefined) {
    return {
      principal: undefined,
      namespace: undefined,
      serviceAccount: undefined,
      trustDomain: undefined,
      ...addresses,
    };
  }
  const { trustDomain, namespace, serviceAccount } = identityParts(identity);
  return {
    principal: withoutScheme(identity),
    namespace,
    serviceAccount: `${namespace}/${serviceAccount}`,
    trustDomain,
    ...addresses,
  };
}
