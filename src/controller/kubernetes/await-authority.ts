/**
 * Opens the authority of a cluster: the one in the Secret, or, where there never was one, a new one made by the
 * leader. A Secret that is missing while its trust bundle is still there was lost: a new authority in its place would
 * silently end trust in every certificate, so that is left to people.
 */
import type { Clock } from '../../base/clock.ts';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { type AuthorityOptions, CertificateAuthority } from '../ca/authority.ts';
import { authoritySecret, trustBundleMap } from './names.ts';

export interface AwaitAuthorityDeps {
  readonly leading: () => boolean;
  /** Whether the roots of an earlier authority are published. */
  readonly bundleExists: () => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Logger;
}

const retryMs = 1_000;

/** Undefined when `stop` fired first. What keeps it from opening is logged, once, and tried again. */
export async function awaitAuthority(
  deps: AwaitAuthorityDeps,
  options: AuthorityOptions,
  stop: AbortSignal,
): Promise<CertificateAuthority | undefined> {
  let problem = '';
  while (!stop.aborted) {
    try {
      const authority = await openOnce(deps, options);
      if (authority !== undefined) return authority;
    } catch (thrown) {
      const { code, message, hint } = asMeshError(thrown);
      if (message !== problem)
        deps.log.error({ code, hint }, `the certificate authority does not open: ${message}`);
      problem = message;
    }
    await pause(deps.clock, stop);
  }
  return undefined;
}

async function openOnce(
  { leading, bundleExists, clock, log }: AwaitAuthorityDeps,
  options: AuthorityOptions,
): Promise<CertificateAuthority | undefined> {
  await options.store.refresh();
  if (options.store.read() !== undefined) return CertificateAuthority.openExisting(options, clock);
  if (!leading()) return undefined;
  if (await bundleExists()) throw lost(options.store.place);
  log.info({ place: options.store.place }, 'making a new certificate authority');
  return await CertificateAuthority.open(options, clock);
}

const lost = (place: string): MeshError =>
  new MeshError('CA_STATE', `${place} is gone, but the roots it had are still published`, {
    hint: `restore Secret ${authoritySecret}; or, to begin anew, delete ConfigMap ${trustBundleMap} here and restart all node programs`,
  });

const pause = (clock: Clock, stop: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const wake = (): void => {
      cancel();
      stop.removeEventListener('abort', wake);
      resolve();
    };
    const cancel = clock.after(retryMs, wake);
    stop.addEventListener('abort', wake, { once: true });
  });
