/**
 * Inbound: which port of the pod a connection is for. The peer's `:authority` and a plaintext client's destination
 * are untrusted; whatever they say, a connection only ever reaches the pod whose socket accepted it.
 */
import { asMeshError, MeshError } from '../base/errors.ts';
import {
  formatSocketAddress,
  isIpv4,
  parseSocketAddress,
  type Port,
  parsePort,
  type SocketAddress,
} from '../base/ip.ts';
import { meshPorts } from '../base/ports.ts';
import { serviceKey } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';
import type { EnginePod } from '../net/engine.ts';
import { type Facts, refuse, type Step } from './facts.ts';

/** The CONNECT target, checked against the pod: an address must be the pod's own, a host name a Service it serves. */
export function targetOfAuthority(
  view: MeshView,
  pod: EnginePod,
  authority: string,
  local: SocketAddress,
): SocketAddress {
  const host = /^([a-z0-9.-]{1,253}):(\d{1,5})$/i.exec(authority);
  const name = host?.[1];
  if (name !== undefined && host?.[2] !== undefined && /[a-z]/i.test(name)) {
    return { ip: local.ip, port: servedPort(view, pod, name, parsePort(host[2])) };
  }
  const target = badConnect(() => parseSocketAddress(authority));
  if (pod.addresses.includes(target.ip)) return target;
  throw new MeshError(
    'BAD_CONNECT',
    `${target.ip} is not an address of the pod that was reached (${local.ip})`,
    {
      hint: 'a CONNECT must aim at the pod it is sent to',
    },
  );
}

/** The pod's own port behind `port` of a Service it is an endpoint of. */
function servedPort(view: MeshView, pod: EnginePod, hostname: string, port: Port): Port {
  const [name = '', namespace = ''] = hostname.split('.');
  const service = view.services.get(serviceKey(namespace, name));
  const endpoint = service?.endpoints.find(
    ({ address, ports }) => pod.addresses.includes(address) && ports.has(port),
  );
  const target = service?.hostname === hostname ? endpoint?.ports.get(port) : undefined;
  if (target !== undefined) return target;
  throw new MeshError('BAD_CONNECT', `this pod does not serve ${hostname}:${port}`);
}

function badConnect<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new MeshError('BAD_CONNECT', `:authority: ${asMeshError(error).message}`, { cause: error });
  }
}

/** Refuses what aims at the mesh's own ports, then routes to the application as seen from its own namespace. */
export const addressApplication: Step = (facts) => {
  const target = facts.destination.address;
  if (meshPorts.has(target.port)) {
    return refuse(
      facts,
      'capture',
      new MeshError('RECURSIVE_CALL', `${formatSocketAddress(target)} is a port of the mesh itself`),
    );
  }
  return { ...facts, routes: [{ type: 'direct', target, source: clientAddress(facts, target) }] };
};

/** The client's address for the application to see; none if the families differ or the pod calls itself. */
function clientAddress({ source }: Facts, target: SocketAddress): SocketAddress['ip'] | undefined {
  const { ip } = source.address;
  return isIpv4(ip) === isIpv4(target.ip) && ip !== target.ip ? ip : undefined;
}
