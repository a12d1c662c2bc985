/** Starts `http2-peer.ts` in a peer's place and reads what it says. */
import type { Forward, PeerRequest } from './http2-peer.ts';
import type { Authority, OurMesh } from './our-mesh.ts';
import { type Process, script, waitFor } from './processes.ts';
import type { Member } from './topology.ts';

const peerUrl = new URL('./http2-peer.ts', import.meta.url);

export interface PeerOptions {
  readonly place: Member;
  readonly authority: Authority;
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly forwards: readonly Forward[];
}

export async function startHttp2Peer(mesh: OurMesh, options: PeerOptions): Promise<Process> {
  const { place, authority, trustDomain, serviceAccount, forwards } = options;
  const request: PeerRequest = {
    identity: `spiffe://${trustDomain}/ns/shop/sa/${serviceAccount}`,
    authorityAddress: authority.address,
    authorityRoot: authority.rootFile,
    tokenFile: mesh.token(authority, '--service-account', `shop/${serviceAccount}`),
    ip: place.ip,
    forwards,
  };
  const peer = mesh.topology.start(
    `http2-peer-${place.name}`,
    place,
    script(peerUrl, JSON.stringify(request)),
  );
  await peer.waitForOutput(/"event":"ready"/);
  return peer;
}

/** Waits until the peer has told of such an event, and gives all of them. */
export async function events(
  peer: Process,
  name: string,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const found = () => peer.lines().filter(({ event }) => event === name);
  await waitFor(`the peer to tell of a ${name}`, () => found().length > 0, 30_000);
  return found();
}
