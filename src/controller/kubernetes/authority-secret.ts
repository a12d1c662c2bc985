/**
 * The authority's state in a Secret, so that every replica signs with the same keys. Replicas sign from memory:
 * neither a missing API server nor a deleted Secret stops them, and each change is guarded by the resource version,
 * so that two writers cannot lose each other's root.
 */
import { MeshError } from '../../base/errors.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { createObject, type KubeObject, readObject, replaceObject } from '../../kube/client/kube-objects.ts';
import { resources } from '../../kube/client/resources.ts';
import type { TrustDomain } from '../../model/identity.ts';
import { decodeState, encodeState } from '../ca/authority-codec.ts';
import type { AuthorityState } from '../ca/authority-state.ts';
import type { AuthorityStore, StoredState } from '../ca/authority-store.ts';
import { authorityEntry, authoritySecret, managedBy } from './names.ts';

interface Secret extends KubeObject {
  readonly type?: string;
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
}

export interface AuthoritySecretOptions {
  readonly namespace: string;
  readonly trustDomain: TrustDomain;
}

export class AuthoritySecret implements AuthorityStore {
  readonly place: string;
  readonly #client: KubeClient;
  readonly #options: AuthoritySecretOptions;
  #known: StoredState | undefined;

  constructor(client: KubeClient, options: AuthoritySecretOptions) {
    this.place = `Secret ${options.namespace}/${authoritySecret}`;
    this.#client = client;
    this.#options = options;
  }

  /** From memory: what the last `refresh` or `write` saw. */
  read(): StoredState | undefined {
    return this.#known;
  }

  /** @throws MeshError CA_STATE when the Secret is damaged, of another mesh, or gone; UNAVAILABLE, PERMISSION */
  async refresh(): Promise<void> {
    const secret = await readObject<Secret>(this.#client, resources.secrets, this.#at());
    if (secret === undefined) {
      if (this.#known === undefined) return;
      throw new MeshError('CA_STATE', `${this.place} was deleted; certificates are signed from memory`, {
        hint: `restore it from a backup before the controllers restart: with it, trust in every certificate is lost`,
      });
    }
    this.#learn(secret);
  }

  async write(previous: string | undefined, state: AuthorityState): Promise<void> {
    const secret = this.#secretOf(previous, state);
    try {
      const written =
        previous === undefined
          ? await createObject<Secret>(this.#client, resources.secrets, secret)
          : await replaceObject<Secret>(this.#client, resources.secrets, secret);
      this.#learn(written);
    } catch (thrown) {
      if (!isLostRace(thrown)) throw thrown;
      await this.refresh();
      throw new MeshError('ALREADY_EXISTS', `another process changed ${this.place} at the same time`, {
        hint: 'look at the authority again, and repeat the command if it is still wanted',
        cause: thrown,
      });
    }
  }

  #learn(secret: Secret): void {
    const version = secret.metadata.resourceVersion ?? '';
    if (this.#known?.version === version) return;
    this.#known = { version, state: this.#decode(secret) };
  }

  #decode({ data }: Secret): AuthorityState {
    const state = decodeState(Buffer.from(data?.[authorityEntry] ?? '', 'base64').toString('utf8'));
    const { trustDomain } = this.#options;
    if (state.trustDomain === trustDomain) return state;
    throw new MeshError('CA_STATE', `${this.place} belongs to trust domain ${state.trustDomain}`, {
      hint: `start with trust domain ${state.trustDomain}, or give ${trustDomain} a namespace of its own`,
    });
  }

  #secretOf(version: string | undefined, state: AuthorityState): Secret {
    return {
      metadata: {
        ...this.#at(),
        labels: managedBy,
        ...(version === undefined ? {} : { resourceVersion: version }),
      },
      type: 'mesh-ebpf.io/authority',
      data: { [authorityEntry]: Buffer.from(encodeState(state)).toString('base64') },
    };
  }

  #at(): { readonly namespace: string; readonly name: string } {
    return { namespace: this.#options.namespace, name: authoritySecret };
  }
}

const isLostRace = (thrown: unknown): boolean =>
  thrown instanceof MeshError && (thrown.code === 'ALREADY_EXISTS' || thrown.code === 'CONFLICT');
