/** Policies and conditions that concern nobody: nobody is selected, nobody is the source, nobody serves the port. */
import type { NamespaceAccess } from '../../model/access.ts';
import type { PeerAuthentication, PolicyMatch } from '../../model/policy.ts';
import type { Scoped } from '../applicable.ts';
import { withoutScheme } from '../attributes.ts';
import { patternKind } from '../pattern-map.ts';
import { accessObject, scopedAccess } from './access.ts';
import type { Check, LintContext } from './context.ts';
import { type Finding, finding, type LintCode, type LintedObject } from './finding.ts';
import type { PodFacts, Target } from './pods.ts';
import { fieldOf, objectOf, type PlacedMatch, placedMatches } from './written.ts';

export const neverMatches: Check = (context) => {
  if (!context.pods.arePodsKnown) return [];
  const { peerAuthentications, access } = context.input.view;
  return [
    ...context.policies.flatMap((policy) => [
      ...targetFindings(context, objectOf(policy), policy),
      ...placedMatches(policy).flatMap((placed) => [
        ...sourceFindings(context.pods, objectOf(policy), placed),
        ...portFindings(context.pods.target(policy), objectOf(policy), placed),
      ]),
    ]),
    ...[...peerAuthentications.values()].flatMap((policy) =>
      targetFindings(context, peerObject(policy), policy),
    ),
    ...[...access.values()].flatMap((object) => accessFindings(context, object)),
  ];
};

const peerObject = ({ namespace, name }: PeerAuthentication): LintedObject => ({
  kind: 'PeerAuthentication',
  namespace,
  name,
});

function accessFindings(context: LintContext, access: NamespaceAccess): readonly Finding[] {
  // In the root namespace, too, it is for its own namespace only.
  if (access.namespace === context.input.view.config.rootNamespace) return [];
  return targetFindings(context, accessObject(access), scopedAccess(access));
}

function targetFindings(
  { pods, input }: LintContext,
  object: LintedObject,
  scoped: Scoped,
): readonly Finding[] {
  const { pods: count, meshed } = pods.target(scoped);
  if (count === 0) return nobody(input.view.services.has.bind(input.view.services), object, scoped);
  if (meshed > 0) return [];
  const message = `none of the ${count} pods it is for is in the mesh: nothing of it is enforced`;
  const hint = 'label the namespace or the pods with istio.io/dataplane-mode=ambient';
  return [finding('not-in-mesh', object, scopeField(scoped), message, hint)];
}

function nobody(
  isService: (key: never) => boolean,
  object: LintedObject,
  { scope, namespace }: Scoped,
): readonly Finding[] {
  const at = scopeField({ scope });
  switch (scope.type) {
    case 'mesh':
      return [];
    case 'namespace':
      return [
        finding(
          'selects-nobody',
          object,
          at,
          `no pod is in namespace ${namespace}`,
          'is it the right namespace?',
        ),
      ];
    case 'selector': {
      const labels = Object.entries(scope.labels).map(([name, value]) => `${name}=${value}`);
      const message = `no pod in reach has the labels ${labels.join(', ')}`;
      return [finding('selects-nobody', object, at, message, 'compare with: kubectl get pods --show-labels')];
    }
    case 'services':
      return scope.services.map((key) => {
        const message = isService(key as never)
          ? `Service ${key} has no endpoints`
          : `there is no Service ${key}`;
        return finding('selects-nobody', object, at, message);
      });
  }
}

function scopeField({ scope }: Pick<Scoped, 'scope'>): string {
  switch (scope.type) {
    case 'selector':
      return 'spec.selector';
    case 'services':
      return 'spec.targetRefs';
    case 'mesh':
    case 'namespace':
      return 'metadata.namespace';
  }
}

function sourceFindings(pods: PodFacts, object: LintedObject, placed: PlacedMatch): readonly Finding[] {
  const { match } = placed;
  const about = (field: keyof PolicyMatch, judge: (pods: PodFacts, value: string) => Judged | undefined) =>
    ((match[field] ?? []) as readonly string[]).flatMap((value, i) => {
      const judged = judge(pods, value);
      if (judged === undefined) return [];
      const effect = field.startsWith('not') ? 'it excludes nobody' : 'it matches nobody';
      const at = `${fieldOf(placed, field)}[${i}]`;
      return [finding(judged.code, object, at, `${judged.message}: ${effect}`, judged.hint)];
    });
  return [
    ...(['namespaces', 'notNamespaces'] as const).flatMap((field) => about(field, judgeNamespace)),
    ...(['principals', 'notPrincipals'] as const).flatMap((field) => about(field, judgePrincipal)),
    ...(['serviceAccounts', 'notServiceAccounts'] as const).flatMap((field) => about(field, judgeAccount)),
  ];
}

interface Judged {
  readonly code: LintCode;
  readonly message: string;
  readonly hint?: string;
}

const enrol = 'label its namespace with istio.io/dataplane-mode=ambient';

function judgeNamespace({ namespaces, meshedNamespaces }: PodFacts, pattern: string): Judged | undefined {
  const found = namespaces.matching(pattern);
  if (found.length === 0) {
    return { code: 'unknown-namespace', message: `no pod is in a namespace ${pattern}` };
  }
  if (found.some((namespace) => meshedNamespaces.has(namespace))) return undefined;
  const message = `no pod of namespace ${pattern} is in the mesh, so none has an identity`;
  return { code: 'unmeshed-source', message, hint: enrol };
}

/** Of another trust domain, or of no form at all: translation has said so. */
function judgePrincipal(pods: PodFacts, given: string): Judged | undefined {
  const pattern = withoutScheme(given);
  if (patternKind(pattern) === 'exact' && !isOwnPrincipal(pattern, pods.trustDomain)) return undefined;
  const found = pods.principals.matching(pattern);
  if (found.length === 0) return { code: 'unknown-identity', message: `no pod has the identity ${given}` };
  if (found.some((principal) => pods.meshedPrincipals.has(principal))) return undefined;
  const message = `no pod with the identity ${given} is in the mesh, so none can prove it`;
  return { code: 'unmeshed-source', message, hint: enrol };
}

const isOwnPrincipal = (principal: string, trustDomain: string): boolean =>
  principal.startsWith(`${trustDomain}/`) && /^[^/]+\/ns\/[^/]+\/sa\/[^/]+$/.test(principal);

function judgeAccount({ accounts, meshedAccounts }: PodFacts, account: string): Judged | undefined {
  if (!accounts.has(account)) {
    return { code: 'unknown-identity', message: `no pod runs under the service account ${account}` };
  }
  if (meshedAccounts.has(account)) return undefined;
  const message = `no pod of the service account ${account} is in the mesh, so none can prove it`;
  return { code: 'unmeshed-source', message, hint: enrol };
}

function portFindings(target: Target, object: LintedObject, placed: PlacedMatch): readonly Finding[] {
  const { ports = [] } = placed.match;
  return ports.flatMap((port, i) => {
    if (target.ports.has(port)) return [];
    const at = `${fieldOf(placed, 'ports')}[${i}]`;
    const leads = target.servicePorts.get(port);
    if (leads !== undefined) {
      const message = `${port} is a port of Service ${leads.service.key}; policies look at the pods’ own, ${leads.target}`;
      return [finding('unserved-port', object, at, message, `write "${leads.target}"`)];
    }
    if (!target.portsKnown) return [];
    const served = [...target.ports]
      .toSorted((a, b) => a - b)
      .slice(0, 8)
      .join(', ');
    return [finding('unserved-port', object, at, `the pods it is for serve ${served}, not ${port}`)];
  });
}
