/** The project: both pods are enrolled, the lab's node programs carry the connection. */
import { meshPids } from '../lab.ts';
import type { Variant, VariantContext } from './variant.ts';

export async function mesh({ client, server }: VariantContext): Promise<Variant> {
  const pids = await meshPids();
  return {
    id: 'mesh',
    client,
    host: server.ip,
    proxies: () => pids,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
