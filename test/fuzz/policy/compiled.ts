/** The answers of the code in use: objects are translated, put into the mesh's state, and asked through the authorizer. */
import { parseIp, parsePort } from '../../../src/base/ip.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import type { Service, Workload } from '../../../src/model/mesh.ts';
import type { KubeObject, SourcedObject } from '../../../src/kube/objects.ts';
import { translateAccess } from '../../../src/kube/translate/namespace-access.ts';
import { translatePolicy } from '../../../src/kube/translate/authorization-policy.ts';
import { translatePeerAuthentication } from '../../../src/kube/translate/peer-authentication.ts';
import { MeshStore } from '../../../src/model/store.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { createAuthorizer, createCompiler } from '../../../src/policy/authorize.ts';
import { meshConfig, pod, service } from '../../support/mesh-builder.ts';
import type { Answer, Connection, World } from './documented.ts';
import { workloadIps } from './worlds.ts';

export interface CompiledAnswer extends Answer {
  readonly policy: string | undefined;
}

type Asker = (connection: Connection) => CompiledAnswer;

const sourced = <Object extends KubeObject>(
  kind: Object['kind'],
  object: object,
  apiVersion = 'security.istio.io/v1',
): SourcedObject<Object> => ({
  object: { apiVersion, kind, ...object } as Object,
  position: undefined,
});

/** Fresh, so that an answer depends on this world only. */
export const compiledAnswers = (world: World): Asker =>
  answersIn(new MeshStore(storeDeps, meshConfig), createAuthorizer(), world, targetOf(world));

/** In one mesh that becomes world after world: what is remembered of the one before must not show. */
export function rememberingAnswers(): (world: World) => Asker {
  const store = new MeshStore(storeDeps, meshConfig);
  // As few parts as there can be: then those taken together are compared, too.
  const authorize = createAuthorizer(createCompiler(1));
  const targets = new Map<string, Workload>();
  return (world) => {
    const key = JSON.stringify(world.workload);
    const target = targets.get(key) ?? targetOf(world);
    targets.set(key, target);
    return answersIn(store, authorize, world, target);
  };
}

const targetOf = ({ workload: { namespace, labels } }: World): Workload =>
  pod(`${namespace}/target`, { ips: workloadIps, labels });

const storeDeps = { log: silentLogger };

function answersIn(
  store: MeshStore,
  authorize: ReturnType<typeof createAuthorizer>,
  { policies, peers, access, workload }: World,
  destination: Workload,
): Asker {
  store.replace({
    workloads: [destination],
    services: workload.serves.map((name, i) => serving(`${workload.namespace}/${name}`, i)),
    policies: policies.map(
      (object) => translatePolicy(sourced('AuthorizationPolicy', object), meshConfig).value,
    ),
    peerAuthentications: peers.map(
      (object) => translatePeerAuthentication(sourced('PeerAuthentication', object), meshConfig).value,
    ),
    access: access.map(
      (object) => translateAccess(sourced('NamespaceAccess', object, 'mesh-ebpf.io/v1alpha1')).access,
    ),
  });
  const { view } = store;
  return (connection) => {
    const verdict = authorize(view, request(connection, destination));
    return {
      allowed: verdict.allowed,
      audited: verdict.audit !== undefined,
      rehearsed: (verdict.dryRun ?? verdict).allowed,
      policy: verdict.policy,
    };
  };
}

const serving = (name: string, i: number): Service =>
  service(name, `10.96.0.${i + 1}`, '80:8080', [{ address: workloadIps[0] }]);

/** The same few values come again and again. */
function memo<T>(make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const value = known.get(text) ?? make(text);
    known.set(text, value);
    return value;
  };
}

const ip = memo(parseIp);
const spiffe = memo(parseSpiffeId);

const request = ({ identity: id, sourceIp, destinationIp, port }: Connection, destination: Workload) => ({
  identity: id && spiffe(`spiffe://${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}`),
  source: { ip: ip(sourceIp), port: parsePort(40_000) },
  destination,
  target: { ip: ip(destinationIp), port: parsePort(port) },
});
