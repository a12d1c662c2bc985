/**
 * How people in a cluster ask for rotations and see how far they are, without ever holding a key: a request is an
 * annotation on a ConfigMap, the answer is the ConfigMap's contents. The leader reads the one and writes the other.
 */
import { Type, type Static } from 'typebox';
import { Value } from 'typebox/value';
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { applyObject, readObject } from '../../kube/client/kube-objects.ts';
import { resources } from '../../kube/client/resources.ts';
import type { AuthorityStatus, CertificateAuthority } from '../ca/authority.ts';
import { type RotationStage, rotationStage } from '../ca/rotation-stage.ts';
import type { ConfigMap } from './bundle-plan.ts';
import { controllerName, managedBy, rotateAnnotation, statusEntry, statusMap } from './names.ts';

const requestSchema = Type.Object({
  /** Tells one request from the next. */
  id: Type.String({ minLength: 1, maxLength: 100 }),
  what: Type.Union([Type.Literal('root'), Type.Literal('intermediate')]),
  /** Milliseconds; see `rotateRoot`. */
  overlapMs: Type.Optional(Type.Number({ minimum: 0 })),
});
export type RotationRequest = Static<typeof requestSchema>;

const reportSchema = Type.Object({
  rotation: Type.Object({ stage: Type.String(), until: Type.Optional(Type.Number()) }),
  lastRequest: Type.Union([
    Type.Null(),
    Type.Object({ id: Type.String(), result: Type.String(), ok: Type.Boolean() }),
  ]),
});
type LastRequest = Static<typeof reportSchema>['lastRequest'];

/** What is in the ConfigMap. Certificates only, no keys. */
export interface AuthorityReport extends AuthorityStatus {
  readonly rotation: RotationStage;
  readonly lastRequest: LastRequest;
}

export class AuthorityDesk {
  readonly #client: KubeClient;
  readonly #namespace: string;
  readonly #log: Logger;

  constructor(client: KubeClient, namespace: string, log: Logger) {
    this.#client = client;
    this.#namespace = namespace;
    this.#log = log;
  }

  /** Does what was asked for since last time, and writes down how things are. @throws MeshError */
  async serve(authority: CertificateAuthority): Promise<void> {
    const map = await readDesk(this.#client, this.#namespace);
    const last = lastRequestIn(map);
    const request = requestIn(map);
    const answered =
      request === undefined || request.id === last?.id ? last : await this.#act(authority, request);
    const status = authority.status();
    const report: AuthorityReport = { ...status, rotation: rotationStage(status), lastRequest: answered };
    const text = `${JSON.stringify(report, null, 2)}\n`;
    if (map?.data?.[statusEntry] === text) return;
    const place = { namespace: this.#namespace, name: statusMap };
    const written: ConfigMap = { metadata: { ...place, labels: managedBy }, data: { [statusEntry]: text } };
    await applyObject(this.#client, resources.configMaps, written, { manager: controllerName });
  }

  async #act(
    authority: CertificateAuthority,
    { id, what, overlapMs }: RotationRequest,
  ): Promise<LastRequest> {
    try {
      if (what === 'root') await authority.rotateRoot(overlapMs === undefined ? {} : { overlapMs });
      else await authority.rotateIntermediate();
      this.#log.info({ audit: 'rotated', what, request: id }, `the ${what} was rotated by request`);
      return { id, ok: true, result: `the ${what} was rotated` };
    } catch (thrown) {
      const { code, message, hint } = asMeshError(thrown);
      this.#log.warn(
        { audit: 'refused', what, request: id, code },
        `the ${what} was not rotated: ${message}`,
      );
      return { id, ok: false, result: hint === undefined ? message : `${message}; ${hint}` };
    }
  }
}

export const readDesk = async (client: KubeClient, namespace: string): Promise<ConfigMap | undefined> =>
  await readObject<ConfigMap>(client, resources.configMaps, { namespace, name: statusMap });

/** Undefined while no controller has written one. */
export function reportIn(map: ConfigMap | undefined): AuthorityReport | undefined {
  const report = parseJson(map?.data?.[statusEntry]);
  return Value.Check(reportSchema, report) ? (report as unknown as AuthorityReport) : undefined;
}

const lastRequestIn = (map: ConfigMap | undefined): LastRequest => reportIn(map)?.lastRequest ?? null;

/** Undefined for none, and for what is none: anybody who may edit the ConfigMap may write nonsense. */
export function requestIn(map: ConfigMap | undefined): RotationRequest | undefined {
  const request = parseJson(map?.metadata.annotations?.[rotateAnnotation]);
  return Value.Check(requestSchema, request) ? request : undefined;
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}
