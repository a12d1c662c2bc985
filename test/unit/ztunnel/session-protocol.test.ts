/**
 * Sessions through every order in which connections, changes, restarts and upgrades can come: the connect hook as
 * `bpf/connect.bpf.c` has it, the maps, what fills them, and ztunnel. Against the promise: a client keeps its endpoint until
 * it has made no connection for the timeout, or may not use it any more, by whichever of the two its connections go.
 */
import { expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  formatSocketAddress,
  type IpAddress,
  type Port,
  parseIp,
  type SocketAddress,
} from '../../../src/base/ip.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type {
  EndpointEntry,
  EndpointKey,
  ServiceAddress,
  ServiceEntry,
  SessionEntry,
  SessionKey,
} from '../../../src/datapath/abi/service-layout.ts';
import { ServiceReconciler } from '../../../src/datapath/services/reconcile.ts';
import { KernelSessions } from '../../../src/datapath/services/sessions.ts';
import { carrySessions } from '../../../src/datapath/takeover/carry-sessions.ts';
import type { MeshState } from '../../../src/model/mesh.ts';
import { SessionAffinity } from '../../../src/ztunnel/session-affinity.ts';
import { at, meshOf, pod, service } from '../../support/mesh-builder.ts';
import { FakeMap } from '../datapath/services/fake-map.ts';
import { scope } from '../datapath/services/support.ts';

const timeoutMs = 1000;
const dialled = at('10.96.0.1:80');
const clients = ['10.1.0.1', '10.1.0.2', '10.1.0.3'].map(parseIp);
/** The last two are on another node. */
const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.9.1', '10.0.9.2'];
const workloads = addresses.map((ip, i) =>
  pod(`shop/${i}`, { ips: [ip], node: i < 3 ? 'node-a' : 'node-b' }),
);

const stateWith = (usable: readonly string[]): MeshState => {
  const endpoints = usable.map((address) => ({ address }));
  const web = { ...service('shop/web', dialled.ip, '80:8080', endpoints), affinityTimeoutMs: timeoutMs };
  return { workloads, services: [web], policies: [], peerAuthentications: [] };
};

class World {
  nowMs = 1_000_000;
  usable: readonly string[] = addresses;
  readonly #store = meshOf(stateWith(addresses));
  #services = new FakeMap<ServiceAddress, ServiceEntry>();
  #endpoints = new FakeMap<EndpointKey, EndpointEntry>();
  sessions = new FakeMap<SessionKey, SessionEntry>();
  #reconciler!: ServiceReconciler;
  kernel!: KernelSessions;
  #affinity!: SessionAffinity;

  constructor() {
    this.start();
    this.#store.subscribe((view, diff) => this.#reconciler.apply(view, diff));
  }

  /** A node program that finds what is in the maps. */
  start(): void {
    this.#reconciler = new ServiceReconciler({
      services: this.#services,
      endpoints: this.#endpoints,
      sessionGeneration: () => this.kernel.lastGeneration(),
      kernelPath: scope,
      log: silentLogger,
    });
    this.kernel = new KernelSessions({
      sessions: this.sessions,
      choiceAt: (address) => this.#reconciler.choiceAt(address),
      monotonicNs: () => this.#nowNs(),
      log: silentLogger,
    });
    this.#affinity = new SessionAffinity(() => this.nowMs, this.kernel);
    this.#reconciler.apply(this.#store.view);
  }

  /** One that comes with maps of its own. */
  upgrade(): void {
    const earlier = this.sessions;
    this.#services = new FakeMap();
    this.#endpoints = new FakeMap();
    this.sessions = new FakeMap();
    this.start();
    carrySessions({ sessions: () => earlier as never }, this.sessions, silentLogger);
  }

  change(usable: readonly string[]): void {
    this.usable = usable;
    this.#store.replace(stateWith(usable));
  }

  /** `kernel`: by the connect hook alone. */
  dial(client: IpAddress): { readonly by: 'kernel' | 'ztunnel'; readonly endpoint: string | undefined } {
    const found = this.#hook(client);
    if (found !== undefined) return { by: 'kernel', endpoint: found };
    const targets = this.usable.map((ip): SocketAddress => at(`${ip}:8080`));
    const chosen = this.#affinity.endpointFor(
      { client, service: this.#key(), dialled, byKernel: true },
      targets,
      timeoutMs,
    );
    return { by: 'ztunnel', endpoint: chosen && formatSocketAddress(chosen) };
  }

  #hook(client: IpAddress): string | undefined {
    const key = { ip: dialled.ip, port: dialled.port };
    const choice = this.#services.get(key);
    const sessionKey = { client, service: key };
    const session = this.sessions.get(sessionKey);
    if (choice === undefined || session?.generation !== choice.generation) return undefined;
    if (this.#nowNs() - session.lastUsed >= BigInt(choice.sessionMs) * 1_000_000n) return undefined;
    this.sessions.set(sessionKey, { ...session, lastUsed: this.#nowNs() });
    return formatSocketAddress({ ip: session.endpoint.ip, port: session.endpoint.port as Port });
  }

  #key = () => service('shop/web', dialled.ip, '80:8080', []).key;

  #nowNs = (): bigint => BigInt(this.nowMs) * 1_000_000n;
}

type Step =
  | { readonly type: 'dial'; readonly client: number }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'change'; readonly usable: readonly string[] }
  | { readonly type: 'room'; readonly entries: number }
  | { readonly type: 'sweep' | 'restart' | 'upgrade' };

/** Often those between which a session moves and comes back. */
const someUsable = fc.oneof(
  fc.subarray(addresses),
  fc.constantFrom(
    addresses,
    addresses.slice(0, 1),
    addresses.slice(1, 2),
    addresses.slice(0, 3),
    addresses.slice(3),
  ),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ type: fc.constant('dial' as const), client: fc.constantFrom(0, 0, 0, 1, 2) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.constantFrom(1, 700, 1000) }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('change' as const), usable: someUsable }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('room' as const), entries: fc.constantFrom(0, 1, 3) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom('sweep' as const, 'restart' as const, 'upgrade' as const) }),
  },
);

const near = addresses.slice(0, 3);
const dialOnce: Step = { type: 'dial', client: 0 };
const become = (...usable: readonly string[]): Step => ({ type: 'change', usable });

/** What chance seldom makes. */
const rare: readonly (readonly Step[])[] = near.flatMap((one) => [
  // The kernel alone knows that the session lasts, and chance would lead elsewhere.
  [
    become(one),
    dialOnce,
    { type: 'wait', ms: 700 },
    dialOnce,
    { type: 'wait', ms: 700 },
    become(...near),
    dialOnce,
  ],
  // Other endpoints under the number that a session bears.
  [become(...near), dialOnce, become(...addresses.slice(3)), { type: 'restart' }, become(one), dialOnce],
]);

/** What the promise says of a client. */
interface Session {
  readonly endpoint: string;
  readonly usedAt: number;
}

it('a client keeps its endpoint as long as it was promised, and the kernel is never asked beyond that', () => {
  const seen = { kernel: 0, ztunnel: 0, keptAcross: 0 };
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
      const world = new World();
      const promised = new Map<number, Session>();
      const isKnown = (client: number, { endpoint }: Session): boolean => {
        const found = world.kernel.find({ client: clients[client] ?? dialled.ip, dialled });
        return found !== undefined && formatSocketAddress(found.endpoint) === endpoint;
      };
      const dial = (client: number): void => {
        const { by, endpoint } = world.dial(clients[client] ?? dialled.ip);
        const session = promised.get(client);
        const lasts =
          session !== undefined &&
          world.nowMs - session.usedAt < timeoutMs &&
          world.usable.some((ip) => session.endpoint === `${ip}:8080`);
        if (lasts) expect(endpoint).toBe(session.endpoint);
        else {
          expect(by).toBe('ztunnel');
          const wanted = world.usable.length === 0 ? [undefined] : world.usable.map((ip) => `${ip}:8080`);
          expect(wanted).toContain(endpoint);
        }
        seen[by]++;
        if (endpoint === undefined) promised.delete(client);
        else promised.set(client, { endpoint, usedAt: world.nowMs });
      };
      const begin = (how: 'restart' | 'upgrade'): void => {
        // Of what is not in the kernel nothing is known any more.
        for (const [client, session] of promised) if (!isKnown(client, session)) promised.delete(client);
        seen.keptAcross += promised.size;
        if (how === 'restart') world.start();
        else world.upgrade();
      };
      for (const each of steps) {
        if (each.type === 'dial') dial(each.client);
        else if (each.type === 'wait') world.nowMs += each.ms;
        else if (each.type === 'change') world.change(each.usable);
        else if (each.type === 'room') world.sessions.capacity = each.entries;
        else if (each.type === 'sweep') world.kernel.sweep();
        else begin(each.type);
      }
    }),
    { numRuns: 1500, examples: rare.map((steps) => [[...steps]]) },
  );
  // Else nothing was tried.
  expect(seen.kernel).toBeGreaterThan(1000);
  expect(seen.ztunnel).toBeGreaterThan(1000);
  expect(seen.keptAcross).toBeGreaterThan(200);
});
