/** No mesh: a connection between two unmeshed pods on two nodes. */
import type { Variant, VariantContext } from './variant.ts';

export const noMesh = ({ client, server }: VariantContext): Promise<Variant> =>
  Promise.resolve({
    id: 'none',
    client,
    host: server.ip,
    proxies: () => [],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
