/** The addresses a pod got from the plugins before ours, out of a CNI result of version 0.3.0 to 1.1.0. Pure. */
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { MeshError } from '../../base/errors.ts';
import { type IpAddress, tryParseIp } from '../../base/ip.ts';

const ResultSchema = Type.Object({
  interfaces: Type.Optional(Type.Array(Type.Object({ sandbox: Type.Optional(Type.String()) }))),
  ips: Type.Optional(
    Type.Array(
      Type.Object({ address: Type.String(), interface: Type.Optional(Type.Integer({ minimum: 0 })) }),
    ),
  ),
});
type Result = Static<typeof ResultSchema>;

/**
 * Each once, in the order of the result; addresses of interfaces outside the sandbox are the host's.
 * @throws MeshError INVALID_ARGUMENT when it is no result, or the pod got no address
 */
export function podAddresses(previousResult: unknown): readonly IpAddress[] {
  if (!Value.Check(ResultSchema, previousResult)) {
    throw new MeshError('INVALID_ARGUMENT', 'prevResult is not a CNI result', {
      hint: 'the plugin must be chained after the one that makes the pod’s interface',
    });
  }
  const addresses = (previousResult.ips ?? [])
    .filter((ip) => isInSandbox(previousResult, ip.interface))
    .map(({ address }) => parseAddress(address));
  if (addresses.length === 0) {
    throw new MeshError('INVALID_ARGUMENT', 'the plugins before this one gave the pod no address');
  }
  return [...new Set(addresses)];
}

/** An address without an interface is the pod's: that is whom the result is about. */
function isInSandbox({ interfaces }: Result, index: number | undefined): boolean {
  if (index === undefined || interfaces === undefined) return true;
  return (interfaces[index]?.sandbox ?? '') !== '';
}

function parseAddress(text: string): IpAddress {
  const ip = tryParseIp(text.split('/', 1)[0] ?? '');
  if (ip === undefined) throw new MeshError('INVALID_ARGUMENT', `prevResult: "${text}" is not an IP address`);
  return ip;
}
