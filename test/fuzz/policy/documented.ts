/**
 * Istio's documentation as a program: slow, plain, and without a line of `src`. What the compiled evaluator decides
 * is compared with this. Each rule says where it is documented:
 *   [AP]   istio.io/latest/docs/reference/config/security/authorization-policy
 *   [COND] istio.io/latest/docs/reference/config/security/conditions
 *   [PA]   istio.io/latest/docs/reference/config/security/peer_authentication
 *   [SEC]  istio.io/latest/docs/concepts/security
 *   [NA]   docs/egress.md, for NamespaceAccess
 *   [ours] docs/policy.md, where Istio leaves it open or to a waypoint
 */

export interface Metadata {
  readonly namespace: string;
  readonly name: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly creationTimestamp?: string;
}

type Labels = Readonly<Record<string, string>>;
type Fields = Readonly<Record<string, readonly string[] | undefined>>;

export interface Rule {
  readonly from?: readonly { readonly source: Fields }[];
  readonly to?: readonly { readonly operation: Fields }[];
  readonly when?: readonly {
    readonly key: string;
    readonly values?: readonly string[];
    readonly notValues?: readonly string[];
  }[];
}

export interface PolicyObject {
  readonly metadata: Metadata;
  readonly spec: {
    readonly action?: string;
    readonly selector?: { readonly matchLabels?: Labels };
    readonly targetRefs?: readonly {
      readonly kind: string;
      readonly name: string;
      readonly group?: string;
    }[];
    readonly rules?: readonly Rule[];
  };
}

interface Mtls {
  readonly mode?: string;
}

export interface PeerObject {
  readonly metadata: Metadata;
  readonly spec: {
    readonly selector?: { readonly matchLabels?: Labels };
    readonly mtls?: Mtls;
    readonly portLevelMtls?: Readonly<Record<string, Mtls>>;
  };
}

export interface AccessObject {
  readonly metadata: Metadata;
  readonly spec: {
    readonly selector?: { readonly matchLabels?: Labels };
    readonly inbound?: { readonly default: string };
  };
}

export interface World {
  readonly policies: readonly PolicyObject[];
  readonly peers: readonly PeerObject[];
  readonly access: readonly AccessObject[];
  readonly workload: {
    readonly namespace: string;
    readonly labels: Labels;
    /** Names of Services of its namespace. */
    readonly serves: readonly string[];
  };
}

export interface Connection {
  readonly identity:
    { readonly trustDomain: string; readonly namespace: string; readonly serviceAccount: string } | undefined;
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly port: number;
}

export interface Answer {
  readonly allowed: boolean;
  readonly audited: boolean;
  /** What it would be with the policies in dry run. */
  readonly rehearsed: boolean;
}

export const rootNamespace = 'istio-system';

export function documentedAnswer(world: World, connection: Connection): Answer {
  // [SEC] STRICT: workloads only accept mutual TLS traffic.
  if (connection.identity === undefined && documentedMode(world, connection.port) === 'STRICT') {
    return { allowed: false, audited: false, rehearsed: false };
  }
  const applying = world.policies.filter((policy) => applies(policy, world));
  const enforced = applying.filter((policy) => !isDryRun(policy));
  const isOpen = documentedDefault(world) === 'Allow';
  return {
    allowed: decide(enforced, connection, isOpen),
    // [AP] A request is audited if there is an AUDIT policy on the workload that matches it.
    audited: enforced.some((policy) => actionOf(policy) === 'AUDIT' && policyMatches(policy, connection)),
    rehearsed: decide(applying, connection, isOpen),
  };
}

/** [NA] Several objects add up, Deny wins; one without `inbound` has no say. */
function documentedDefault({ access, workload }: World): string {
  const speaking = access.filter(
    ({ metadata, spec }) =>
      metadata.namespace === workload.namespace && selected(spec.selector?.matchLabels, workload.labels),
  );
  return speaking.some(({ spec }) => spec.inbound?.default === 'Deny') ? 'Deny' : 'Allow';
}

/** [AP] The order of evaluation, points 1 to 5; [NA] what point 3 allows is the namespace's to say. */
function decide(policies: readonly PolicyObject[], connection: Connection, isOpen: boolean): boolean {
  const of = (action: string): PolicyObject[] => policies.filter((policy) => actionOf(policy) === action);
  const anyMatches = (action: string): boolean =>
    of(action).some((policy) => policyMatches(policy, connection));
  // [ours] Nobody can ask the provider of a CUSTOM policy: its answer counts as deny.
  if (anyMatches('CUSTOM')) return false;
  if (anyMatches('DENY')) return false;
  if (of('ALLOW').length === 0) return isOpen;
  return anyMatches('ALLOW');
}

/** [AP] Default is ALLOW if not specified. */
const actionOf = ({ spec }: PolicyObject): string => spec.action ?? 'ALLOW';

/** [AP] The annotation istio.io/dry-run. */
const isDryRun = ({ metadata }: PolicyObject): boolean =>
  metadata.annotations?.['istio.io/dry-run'] === 'true';

function applies({ metadata, spec }: PolicyObject, { workload }: World): boolean {
  if (spec.targetRefs !== undefined) {
    // [ours] A policy for a Service of its namespace is enforced at the pods that serve it; other targets are proxies.
    if (metadata.namespace !== workload.namespace) return false;
    return spec.targetRefs.some(({ kind, name }) => kind === 'Service' && workload.serves.includes(name));
  }
  // [AP] In the root namespace the policy applies to all namespaces, and its selector matches in all of them.
  if (metadata.namespace !== workload.namespace && metadata.namespace !== rootNamespace) return false;
  return selected(spec.selector?.matchLabels, workload.labels);
}

/** [AP] If the selector is not set, it matches all workloads. */
const selected = (wanted: Labels = {}, labels: Labels): boolean =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value);

/** [AP] A match occurs when at least one rule matches; if rules are not set, the match never occurs. */
const policyMatches = (policy: PolicyObject, connection: Connection): boolean =>
  (policy.spec.rules ?? []).some((rule) => ruleMatches(rule, policy, connection));

/** [AP] At least one source, one operation and all conditions. What is not set allows any. */
function ruleMatches(rule: Rule, policy: PolicyObject, connection: Connection): boolean {
  const all = conditionsOf(rule, policy);
  const isClear = [...all.from.flat(), ...all.to.flat(), ...all.when.flat()].every(
    ({ holds }) => holds !== unclear,
  );
  // [ours, as Istio's ztunnel] Of an ALLOW policy a rule is omitted that has something L4 cannot check.
  if (actionOf(policy) === 'ALLOW' && !isClear) return false;
  // [ours, as Istio's ztunnel] Of any other policy it is enforced without that.
  const met = ({ holds }: NaiveCondition): boolean => holds === unclear || holds(connection);
  return (
    (rule.from === undefined || all.from.some((source) => source.every(met))) &&
    (rule.to === undefined || all.to.some((operation) => operation.every(met))) &&
    all.when.flat().every(met)
  );
}

/** What L4 cannot check, or nobody can read. */
const unclear = 'unclear';

interface NaiveCondition {
  readonly holds: typeof unclear | ((connection: Connection) => boolean);
}

const conditionsOf = (rule: Rule, policy: PolicyObject) => ({
  from: (rule.from ?? []).map(({ source }) => fieldConditions(source, policy)),
  to: (rule.to ?? []).map(({ operation }) => fieldConditions(operation, policy)),
  when: (rule.when ?? []).map(({ key, values, notValues }) => whenConditions(key, values, notValues, policy)),
});

/** [AP] Fields are ANDed together; the values of one are alternatives; `notX` is a negative match of X. */
function fieldConditions(fields: Fields, policy: PolicyObject): NaiveCondition[] {
  return Object.entries(fields).flatMap(([name, values]): NaiveCondition[] => {
    if (values === undefined) return [];
    const isNegative = /^not[A-Z]/.test(name);
    const field = isNegative ? name.charAt(3).toLowerCase() + name.slice(4) : name;
    const listed = listing(field, values, policy);
    if (listed === unclear) return [{ holds: unclear }];
    return [{ holds: (connection) => listed(connection) !== isNegative }];
  });
}

/** [COND] The attributes that are there for TCP, without `connection.sni` and `experimental.*`, which need a proxy. */
const attributes: Readonly<Record<string, string>> = {
  'source.ip': 'ipBlocks',
  'source.namespace': 'namespaces',
  'source.principal': 'principals',
  'destination.ip': 'destinationIps',
  'destination.port': 'ports',
};

function whenConditions(
  key: string,
  values: readonly string[] | undefined,
  notValues: readonly string[] | undefined,
  policy: PolicyObject,
): NaiveCondition[] {
  const field = attributes[key];
  if (field === undefined) return [{ holds: unclear }];
  return fieldConditions(
    { [field]: values, [`not${field.charAt(0).toUpperCase()}${field.slice(1)}`]: notValues },
    policy,
  );
}

/** Whether one of the values is the connection's. */
function listing(
  field: string,
  values: readonly string[],
  { metadata }: PolicyObject,
): typeof unclear | ((connection: Connection) => boolean) {
  switch (field) {
    case 'principals':
      // [ours] The scheme may be written too.
      return ({ identity }) =>
        values.some((value) => stringMatches(value.replace(/^spiffe:\/\//, ''), principalOf(identity)));
    case 'namespaces':
      return ({ identity }) => values.some((value) => stringMatches(value, identity?.namespace));
    case 'trustDomains':
      return ({ identity }) => values.some((value) => stringMatches(value, identity?.trustDomain));
    case 'serviceAccounts': {
      // [AP] `<namespace>/<serviceaccount>`, or `<serviceaccount>` of the policy's namespace; no wildcard.
      if (values.some((value) => value.includes('*'))) return unclear;
      const full = values.map((value) => (value.includes('/') ? value : `${metadata.namespace}/${value}`));
      return ({ identity }) =>
        identity !== undefined && full.includes(`${identity.namespace}/${identity.serviceAccount}`);
    }
    case 'ipBlocks':
      return values.every(isBlock)
        ? ({ sourceIp }) => values.some((block) => inBlock(block, sourceIp))
        : unclear;
    case 'destinationIps':
      return values.every(isBlock)
        ? ({ destinationIp }) => values.some((block) => inBlock(block, destinationIp))
        : unclear;
    case 'ports':
      return values.every(isPort) ? ({ port }) => values.some((value) => Number(value) === port) : unclear;
    default:
      return unclear;
  }
}

const principalOf = (identity: Connection['identity']): string | undefined =>
  identity && `${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`;

/** [AP] Exact, prefix, suffix and presence match; an attribute that is not there matches none of them. */
function stringMatches(pattern: string, value: string | undefined): boolean {
  if (value === undefined || value === '') return false;
  if (pattern === '*') return true;
  if (pattern.startsWith('*')) return value.endsWith(pattern.slice(1));
  if (pattern.endsWith('*')) return value.startsWith(pattern.slice(0, -1));
  return pattern === value;
}

const isPort = (text: string): boolean =>
  /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65535;

/** [AP] Single IP and CIDR are supported. [ours] No leading zeros, no short forms. */
function isBlock(text: string): boolean {
  const [address = '', length, ...rest] = text.split('/');
  const bits = bitsOf(address);
  if (bits === undefined || rest.length > 0) return false;
  return length === undefined || (/^(0|[1-9]\d*)$/.test(length) && Number(length) <= bits.length - 1);
}

const groups = (half: string): string[] => (half === '' ? [] : half.split(':'));

/** The family (4 or 6), then the address, in binary digits; undefined for what is no address. */
function bitsOf(text: string): string | undefined {
  const octets = text.split('.');
  if (
    octets.length === 4 &&
    octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) <= 255)
  ) {
    return `4${octets.map((octet) => binary(Number(octet), 8)).join('')}`;
  }
  if (!/^[0-9a-f:]+$/.test(text) || !text.includes(':')) return undefined;
  const [front = '', back] = text.split('::');
  const gap = back === undefined ? 0 : 8 - groups(front).length - groups(back).length;
  const all = [...groups(front), ...Array<string>(gap).fill('0'), ...groups(back ?? '')];
  return all.length === 8
    ? `6${all.map((group) => binary(Number.parseInt(group, 16), 16)).join('')}`
    : undefined;
}

const binary = (value: number, width: number): string => value.toString(2).padStart(width, '0');

function inBlock(block: string, ip: string): boolean {
  const [address = '', length] = block.split('/');
  const wanted = bitsOf(address) ?? '';
  const digits = length === undefined ? wanted.length : Number(length) + 1;
  return (bitsOf(ip) ?? '').slice(0, digits) === wanted.slice(0, digits);
}

const wide = ({ spec }: PeerObject): boolean => Object.keys(spec.selector?.matchLabels ?? {}).length === 0;

/** [SEC] The narrowest matching policy: workload-specific, namespace-wide, mesh-wide; unset inherits. */
export function documentedMode({ peers, workload }: World, port: number): string {
  const inNamespace = (name: string) => peers.filter(({ metadata }) => metadata.namespace === name);
  // [PA] Policies with workload selectors are ignored when deployed in the root namespace.
  const own = workload.namespace === rootNamespace ? [] : inNamespace(workload.namespace);
  const specific = oldest(
    own.filter((peer) => !wide(peer) && selected(peer.spec.selector?.matchLabels, workload.labels)),
  );
  const ofPort = setMode(specific?.spec.portLevelMtls?.[String(port)]);
  const inherited = [specific, oldest(own.filter(wide)), oldest(inNamespace(rootNamespace).filter(wide))];
  // [SEC] Mesh-wide policies with an unset mode use PERMISSIVE.
  return (
    [ofPort, ...inherited.map((peer) => setMode(peer?.spec.mtls))].find((mode) => mode !== undefined) ??
    'PERMISSIVE'
  );
}

const setMode = (mtls: Mtls | undefined): string | undefined =>
  mtls?.mode === undefined || mtls.mode === 'UNSET' ? undefined : mtls.mode;

/** [SEC] When more than one matches, Istio picks the oldest. [ours] Of two as old, the first by name. */
function oldest(peers: readonly PeerObject[]): PeerObject | undefined {
  const age = ({ metadata }: PeerObject): string => `${metadata.creationTimestamp} ${metadata.name}`;
  return peers.toSorted((a, b) => (age(a) < age(b) ? -1 : 1))[0];
}
