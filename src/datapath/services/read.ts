/** What the `services` and `endpoints` maps hold, put together: after a crash, or another hand, not all of it fits. */
import type { Port, SocketAddress } from '../../base/ip.ts';
import type { EndpointEntry, EndpointKey, ServiceAddress, ServiceEntry } from '../abi/service-layout.ts';
import type { ServiceChoice } from './desired.ts';

export interface AppliedChoice {
  readonly choice: ServiceChoice;
  readonly generation: number;
}

export interface FoundChoices {
  readonly choices: readonly AppliedChoice[];
  /** Entries of which not every endpoint is there. */
  readonly broken: readonly ServiceAddress[];
  /** Endpoints that no entry speaks of. */
  readonly orphans: readonly EndpointKey[];
  readonly lastGeneration: number;
}

export function readChoices(
  services: readonly (readonly [ServiceAddress, ServiceEntry])[],
  endpoints: readonly (readonly [EndpointKey, EndpointEntry])[],
): FoundChoices {
  const found = new Map(endpoints.map(([key, endpoint]) => [textOf(key), endpoint]));
  const choices: AppliedChoice[] = [];
  const broken: ServiceAddress[] = [];
  const claimed = new Set<string>();
  for (const [dialled, { generation, kernel, total, flags, sessionMs }] of services) {
    const keys = keysOf(dialled, generation, Math.min(kernel, found.size)).map(textOf);
    const targets = keys.flatMap((key) => found.get(key) ?? []).map(toAddress);
    if (targets.length !== kernel) {
      broken.push(dialled);
      continue;
    }
    keys.forEach((key) => claimed.add(key));
    const choice = {
      dialled: toAddress(dialled),
      kernel: targets,
      total,
      leaves: flags.leaves,
      sessionMs: sessionMs === 0 ? undefined : sessionMs,
    };
    choices.push({ choice, generation });
  }
  const generations = [...services.map(([, entry]) => entry), ...endpoints.map(([key]) => key)];
  return {
    choices,
    broken,
    orphans: endpoints.map(([key]) => key).filter((key) => !claimed.has(textOf(key))),
    lastGeneration: generations.reduce((last, { generation }) => Math.max(last, generation), 0),
  };
}

/** In the order of the choice's endpoints. */
export const endpointKeys = ({ choice, generation }: AppliedChoice): readonly EndpointKey[] =>
  keysOf(choice.dialled, generation, choice.kernel.length);

const keysOf = ({ ip, port }: ServiceAddress, generation: number, count: number): readonly EndpointKey[] =>
  Array.from({ length: count }, (_, index) => ({ service: { ip, port }, generation, index }));

const textOf = ({ service, generation, index }: EndpointKey): string =>
  `${service.ip} ${service.port} ${generation} ${index}`;

const toAddress = ({ ip, port }: ServiceAddress): SocketAddress => ({ ip, port: port as Port });
