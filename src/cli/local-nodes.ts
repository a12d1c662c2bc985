/** The nodes of this machine, by their admin sockets: a real node's, or the lab's. */
import { MeshError } from '../base/errors.ts';
import type { CliEnv } from './env.ts';
import type { NodeHandle } from './node-handle.ts';
import { type Place, socketName, socketPlaces } from './places.ts';

export const nodeAtSocket = (env: CliEnv, node: string, socket: string): NodeHandle => ({
  node,
  where: socket,
  admin: async (request) => await env.adminRequest(socket, request),
  close: () => {},
});

export const localNodes = async (env: CliEnv): Promise<readonly NodeHandle[]> =>
  (await Promise.all(socketPlaces.map((place) => nodesIn(env, place)))).flat();

async function nodesIn(env: CliEnv, { directory, each }: Place): Promise<readonly NodeHandle[]> {
  const names = await env.files.list(directory);
  if (!each) {
    return names.includes(socketName) ? [nodeAtSocket(env, 'node', `${directory}/${socketName}`)] : [];
  }
  // A directory without a socket is a node that is down: it shall be listed, so it is asked in vain.
  return names.map((name) => nodeAtSocket(env, name, `${directory}/${name}/${socketName}`));
}

export function noLocalNode(): MeshError {
  const looked = socketPlaces
    .map(({ directory, each }) => (each ? `${directory}/*` : directory))
    .join(' and ');
  return new MeshError(
    'UNAVAILABLE',
    `no node of the mesh runs on this machine (no admin socket in ${looked}), and there is no kubeconfig`,
    {
      hint:
        'name a cluster with --kubeconfig or a socket with --socket; or start a node with "mesh-ebpf lab up" or ' +
        '"mesh-ebpf node"',
    },
  );
}
