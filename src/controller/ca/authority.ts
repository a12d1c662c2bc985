/**
 * The certificate authority: signs leaves and rotates itself. Several processes may have the same state open
 * (controllers, a rotation command); each sees the others' changes as soon as its store does.
 */
import type { PublicKey } from '@peculiar/x509';
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import { identityParts, type SpiffeId, type TrustDomain } from '../../model/identity.ts';
import type { AuthorityStore, StoredState } from './authority-store.ts';
import {
  type AuthorityState,
  expiryOf,
  startOf,
  issuingLineage,
  type Lineage,
  trustedRoots,
  withoutRetired,
} from './authority-state.ts';
import {
  makeIntermediate,
  makeLeaf,
  makeRoot,
  makeServerCertificate,
  type Signer,
  type Validity,
} from './issue.ts';

export interface AuthorityOptions {
  readonly store: AuthorityStore;
  readonly trustDomain: TrustDomain;
  /** Lifetimes in milliseconds: 10 years, 1 year, and for leaves 24 hours, which is also the most a caller gets. */
  readonly rootLifetimeMs?: number;
  readonly intermediateLifetimeMs?: number;
  readonly leafLifetimeMs?: number;
}

export interface Leaf {
  /** PEM: leaf, then intermediates. */
  readonly chain: readonly string[];
  /** All roots to trust, PEM. */
  readonly roots: readonly string[];
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

/** Public facts for the CLI and for alarms; times are milliseconds since the epoch. */
export interface AuthorityStatus {
  readonly trustDomain: TrustDomain;
  readonly lineages: readonly {
    /** PEM. */
    readonly root: string;
    readonly intermediate: string;
    readonly issuing: boolean;
    readonly issuesFrom: number;
    readonly trustedUntil: number | undefined;
    readonly rootExpires: number;
    readonly intermediateMade: number;
    readonly intermediateExpires: number;
  }[];
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Certificates begin this much in the past, for nodes whose clock is behind ours. */
const clockSkewMs = hourMs / 4;

/** Of the authority's own listener: however short leaves live, nodes whose clock is off still reach it. */
const serverLifetimeMs = dayMs;

const defaults = {
  rootLifetimeMs: 3650 * dayMs,
  intermediateLifetimeMs: 365 * dayMs,
  leafLifetimeMs: dayMs,
};

export class CertificateAuthority {
  readonly #store: AuthorityStore;
  readonly #clock: Clock;
  readonly #options: AuthorityOptions & typeof defaults;

  private constructor(options: AuthorityOptions, clock: Clock) {
    this.#store = options.store;
    this.#options = { ...defaults, ...options };
    this.#clock = clock;
  }

  /** Opens the authority in the store, or makes one where there never was one. @throws MeshError CA_STATE */
  static async open(options: AuthorityOptions, clock: Clock): Promise<CertificateAuthority> {
    const authority = new CertificateAuthority(options, clock);
    if (authority.#store.read() === undefined) await authority.#create();
    return authority;
  }

  /** Opens the authority in the store; for those who must not make one by mistake. @throws MeshError CA_STATE */
  static openExisting(options: AuthorityOptions, clock: Clock): CertificateAuthority {
    const authority = new CertificateAuthority(options, clock);
    authority.#read();
    return authority;
  }

  get trustDomain(): TrustDomain {
    return this.#options.trustDomain;
  }

  /** Learns what other processes changed. @throws MeshError; what is known stays in force */
  async refresh(): Promise<void> {
    await this.#store.refresh();
  }

  /** Concatenated PEM: what nodes must have to talk to the authority at all. */
  trustBundle(): string {
    return trustedRoots(this.#read().state, this.#clock.now()).join('');
  }

  /**
   * Signs for one identity of this trust domain; the caller has decided that it may have it. A wanted lifetime of 0
   * means the default. @throws MeshError CA_STATE, IDENTITY_INVALID
   */
  async issue(identity: SpiffeId, publicKey: PublicKey, wantedMs: number): Promise<Leaf> {
    if (identityParts(identity).trustDomain !== this.trustDomain) {
      throw new MeshError('IDENTITY_INVALID', `${identity} is not of trust domain ${this.trustDomain}`);
    }
    const { state } = this.#read();
    const { intermediate } = issuingLineage(state, this.#clock.now());
    const longest = this.#options.leafLifetimeMs;
    const validity = this.#validity(intermediate, wantedMs > 0 ? Math.min(wantedMs, longest) : longest);
    const leaf = await makeLeaf(intermediate, publicKey, identity, validity);
    return this.#answer(state, intermediate, leaf, validity);
  }

  /** A certificate for a listener of the authority itself; names are DNS names and IP addresses. */
  async issueServer(names: readonly string[]): Promise<Leaf & { readonly privateKey: string }> {
    const { state } = this.#read();
    const { intermediate } = issuingLineage(state, this.#clock.now());
    const validity = this.#validity(intermediate, serverLifetimeMs);
    const server = await makeServerCertificate(intermediate, names, validity);
    return {
      ...this.#answer(state, intermediate, server.certificate, validity),
      privateKey: server.privateKey,
    };
  }

  /** A new intermediate signs from now on; nobody needs to be told, as every leaf carries its intermediate. */
  async rotateIntermediate(): Promise<void> {
    const { version, state } = this.#read();
    const issuing = issuingLineage(state, this.#clock.now());
    const intermediate = await this.#makeIntermediate(issuing.root, this.#clock.now());
    const lineages = state.lineages.map((l) => (l === issuing ? { ...l, intermediate } : l));
    await this.#write(version, { ...state, lineages });
  }

  /**
   * Makes a new root. It is trusted at once, signs after one leaf lifetime (every node has renewed, and so trusts
   * it, by then), and the old root is trusted for one more. `overlapMs` shortens that lifetime in an emergency, at
   * the price of failing connections. @throws MeshError ALREADY_EXISTS while a rotation is under way.
   */
  async rotateRoot(options: { readonly overlapMs?: number } = {}): Promise<void> {
    const now = this.#clock.now();
    const { version, state: stored } = this.#read();
    const state = withoutRetired(stored, now);
    if (state.lineages.length > 1) throw alreadyRotating(state);
    const overlapMs = options.overlapMs ?? this.#options.leafLifetimeMs;
    const successor = await this.#makeLineage(now, now + overlapMs);
    const trustedUntil = successor.issuesFrom + overlapMs + clockSkewMs;
    const lineages = [...state.lineages.map((l) => ({ ...l, trustedUntil })), successor];
    await this.#write(version, { ...state, lineages });
  }

  /** Destroys the keys of roots whose time is over. Returns how many there were. @throws MeshError CA_STATE */
  async dropRetired(): Promise<number> {
    const { version, state } = this.#read();
    const kept = withoutRetired(state, this.#clock.now());
    if (kept.lineages.length < state.lineages.length) await this.#store.write(version, kept);
    return state.lineages.length - kept.lineages.length;
  }

  status(): AuthorityStatus {
    const now = this.#clock.now();
    const state = withoutRetired(this.#read().state, now);
    const issuing = issuingLineage(state, now);
    return {
      trustDomain: state.trustDomain,
      lineages: state.lineages.map((lineage) => ({
        root: lineage.root.certificate,
        intermediate: lineage.intermediate.certificate,
        issuing: lineage === issuing,
        issuesFrom: lineage.issuesFrom,
        trustedUntil: lineage.trustedUntil,
        rootExpires: expiryOf(lineage.root),
        intermediateMade: startOf(lineage.intermediate),
        intermediateExpires: expiryOf(lineage.intermediate),
      })),
    };
  }

  async #create(): Promise<void> {
    const now = this.#clock.now();
    const first = await this.#makeLineage(now, now);
    try {
      await this.#store.write(undefined, { trustDomain: this.trustDomain, lineages: [first] });
    } catch (thrown) {
      // Two controllers started at once: the other one's authority is as good.
      if (!(thrown instanceof MeshError && thrown.code === 'ALREADY_EXISTS')) throw thrown;
    }
  }

  #read(): StoredState {
    const stored = this.#store.read();
    if (stored !== undefined) return stored;
    throw new MeshError('CA_STATE', `the certificate authority in ${this.#store.place} is gone`, {
      hint: 'restore it from a backup',
    });
  }

  async #write(previous: string, state: AuthorityState): Promise<void> {
    await this.#store.write(previous, withoutRetired(state, this.#clock.now()));
  }

  async #makeLineage(now: number, issuesFrom: number): Promise<Lineage> {
    const lifetime = { notBefore: now - clockSkewMs, notAfter: now + this.#options.rootLifetimeMs };
    const root = await makeRoot(this.trustDomain, lifetime);
    const intermediate = await this.#makeIntermediate(root, now);
    return { root, intermediate, issuesFrom, trustedUntil: undefined };
  }

  #makeIntermediate(root: Signer, now: number): Promise<Signer> {
    const notAfter = Math.min(now + this.#options.intermediateLifetimeMs, expiryOf(root));
    return makeIntermediate(this.trustDomain, root, { notBefore: now - clockSkewMs, notAfter });
  }

  /** Never longer than its issuer. A short life is backdated less: peers renew by the middle of the whole span. */
  #validity(issuer: Signer, lifetime: number): Validity {
    const now = wholeSecond(this.#clock.now());
    const notAfter = Math.min(now + lifetime, expiryOf(issuer));
    if (notAfter > now) return { notBefore: now - Math.min(clockSkewMs, lifetime / 2), notAfter };
    throw new MeshError('CA_STATE', 'the intermediate certificate has expired', {
      hint: 'a running controller replaces it in time: look into its log, and restart it',
    });
  }

  #answer(state: AuthorityState, intermediate: Signer, leaf: string, validity: Validity): Leaf {
    return {
      chain: [leaf, intermediate.certificate],
      roots: trustedRoots(state, this.#clock.now()),
      notAfter: validity.notAfter,
    };
  }
}

/** Certificates know no fractions of a second. */
const wholeSecond = (ms: number): number => Math.floor(ms / 1000) * 1000;

function alreadyRotating({ lineages }: AuthorityState): MeshError {
  const until = Math.max(...lineages.map(({ trustedUntil }) => trustedUntil ?? 0));
  return new MeshError('ALREADY_EXISTS', 'a rotation of the root is under way', {
    hint: `it ends at ${new Date(until).toISOString()}; begin the next one after that`,
  });
}
