/** Starts a variant by its name. */
import { haproxy } from './haproxy.ts';
import { mesh } from './mesh.ts';
import { noMesh } from './none.ts';
import { sameNode } from './same-node.ts';
import type { Variant, VariantContext, VariantId } from './variant.ts';
import { ztunnel } from './ztunnel.ts';

export function startVariant(
  id: VariantId,
  context: VariantContext,
  ztunnelPath: string | undefined,
): Promise<Variant> {
  switch (id) {
    case 'none':
      return noMesh(context);
    case 'mesh':
      return mesh(context);
    case 'node-none':
    case 'node-kernel':
    case 'node-accelerated':
    case 'node-hbone':
    case 'node-large':
      return sameNode(id)(context);
    case 'haproxy':
      return haproxy(context);
    case 'ztunnel':
      if (ztunnelPath === undefined) throw new Error('no path of a ztunnel was given');
      return ztunnel(ztunnelPath)(context);
  }
}
