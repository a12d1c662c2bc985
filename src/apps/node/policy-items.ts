/** The policies in force as the admin API tells them: pure translations from the model, in words for people. */
import type { Workload } from '../../model/mesh.ts';
import type {
  AuthorizationPolicy,
  MtlsMode,
  PeerAuthentication,
  PolicyMatch,
  PolicyRule,
} from '../../model/policy.ts';
import { scopeText } from '../../policy/scope-text.ts';
import type { PolicyItem } from '../../telemetry/admin-api.ts';
import type { NodeFacts } from './node-facts.ts';

const podName = ({ namespace, name }: Workload): string => `${namespace}/${name}`;

export function policyItem(policy: AuthorizationPolicy, { ownUnder }: NodeFacts): PolicyItem {
  return {
    kind: 'AuthorizationPolicy',
    key: policy.key,
    namespace: policy.namespace,
    name: policy.name,
    action: policy.action,
    dryRun: policy.dryRun === true,
    scope: scopeText(policy.scope),
    rules: policy.rules.map(ruleSentence),
    workloads: ownUnder(policy).map(podName),
  };
}

export function peerAuthenticationItem(policy: PeerAuthentication, { ownUnderMtls }: NodeFacts): PolicyItem {
  const ports = [...policy.ports].map(([port, mode]) => `${modeWords[mode]} on port ${port}`);
  return {
    kind: 'PeerAuthentication',
    key: policy.key,
    namespace: policy.namespace,
    name: policy.name,
    action: 'mtls',
    dryRun: false,
    scope: scopeText(policy.scope),
    rules: [
      policy.mode === undefined ? 'as the namespace or the mesh says' : modeWords[policy.mode],
      ...ports,
    ],
    workloads: ownUnderMtls(policy).map(podName),
  };
}

const modeWords: Readonly<Record<MtlsMode, string>> = {
  strict: 'mutual TLS only (STRICT)',
  permissive: 'plaintext too (PERMISSIVE)',
  disable: 'plaintext too (DISABLE)',
};

const fieldWords: Readonly<Record<keyof PolicyMatch, string>> = {
  namespaces: 'from namespace',
  notNamespaces: 'not from namespace',
  principals: 'from principal',
  notPrincipals: 'not from principal',
  serviceAccounts: 'from service account',
  notServiceAccounts: 'not from service account',
  trustDomains: 'from trust domain',
  notTrustDomains: 'not from trust domain',
  ipBlocks: 'from address',
  notIpBlocks: 'not from address',
  destinationIps: 'to address',
  notDestinationIps: 'not to address',
  ports: 'to port',
  notPorts: 'not to port',
};

function ruleSentence({ from = [], to = [], when = [] }: PolicyRule): string {
  const parts = [alternatives(from), alternatives(to), ...when.map(matchWords)].filter((text) => text !== '');
  return parts.length === 0 ? 'everything' : parts.join(', ');
}

/** `(a) or (b)`; one alone needs no brackets. */
function alternatives(matches: readonly PolicyMatch[]): string {
  const words = matches.map(matchWords);
  if (words.includes('')) return '';
  return words.length > 1 ? words.map((text) => `(${text})`).join(' or ') : words.join('');
}

const matchWords = (match: PolicyMatch): string =>
  (Object.keys(fieldWords) as (keyof PolicyMatch)[])
    .flatMap((field) => {
      const values = match[field];
      return values === undefined ? [] : [`${fieldWords[field]} ${values.map(valueText).join(' or ')}`];
    })
    .join(', ');

const valueText = (value: string | number | { readonly base: string; readonly length: number }): string =>
  typeof value === 'object' ? `${value.base}/${value.length}` : String(value);
