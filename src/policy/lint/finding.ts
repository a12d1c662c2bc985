/** What lint may find: one table of codes, and the finding itself. Codes are stable; CI configurations name them. */

/** `error`: something does not work. `warning`: it does, and is hardly meant so. `info`: worth knowing. */
export type Severity = 'error' | 'warning' | 'info';

export const lintCodes = {
  invalid: { severity: 'error', text: 'the object cannot be understood; a strict reading is in force' },
  'needs-waypoint': { severity: 'error', text: 'a condition that L4 cannot check, and no waypoint does' },
  'not-as-written': { severity: 'warning', text: 'what is in force is not quite what is written' },
  'foreign-principal': { severity: 'warning', text: 'a principal that can be nobody’s in this mesh' },
  'spiffe-prefix': { severity: 'info', text: 'spiffe:// is accepted here, and matches nobody in Istio' },
  'selects-nobody': { severity: 'warning', text: 'there is no pod that the policy is for' },
  'not-in-mesh': {
    severity: 'warning',
    text: 'the pods that the policy is for are not in the mesh: not enforced',
  },
  'unknown-namespace': { severity: 'warning', text: 'no pod is in the namespace' },
  'unknown-identity': { severity: 'warning', text: 'no pod has the identity' },
  'unmeshed-source': { severity: 'warning', text: 'the source is not in the mesh, so it has no identity' },
  'unserved-port': { severity: 'warning', text: 'the pods that the policy is for do not serve the port' },
  'contradictory-rule': { severity: 'error', text: 'conditions exclude each other: it never matches' },
  'competing-policies': {
    severity: 'warning',
    text: 'of several PeerAuthentications for the same pods one counts',
  },
  'shadowed-by-deny': { severity: 'warning', text: 'a DENY covers the ALLOW rule: it never has an effect' },
  'redundant-rule': { severity: 'info', text: 'another rule says the same, or more' },
  'allows-everything': { severity: 'warning', text: 'a rule without conditions that allows' },
  'denies-everything': { severity: 'warning', text: 'a rule without conditions that denies' },
  'any-source': { severity: 'warning', text: 'an ALLOW rule that does not say who, plaintext included' },
  'any-identity': { severity: 'warning', text: 'an asterisk: everybody who is in the mesh' },
  'allows-plaintext': { severity: 'warning', text: 'only who may not is said, so plaintext is allowed too' },
  'any-destination': { severity: 'warning', text: 'an egress rule that opens every address' },
  'unknown-destination': {
    severity: 'warning',
    text: 'an egress rule for a Service or namespace that has no address',
  },
  'in-mesh-destination': {
    severity: 'warning',
    text: 'an egress rule for TCP to the mesh, where it has no say',
  },
  'blocks-hbone': {
    severity: 'error',
    text: 'a NetworkPolicy blocks port 15008: no connection through the mesh',
  },
  'blocks-dns': { severity: 'warning', text: 'a NetworkPolicy or NamespaceAccess blocks DNS' },
  'locks-out-dns': {
    severity: 'warning',
    text: 'policies refuse DNS over TCP at the cluster’s DNS servers, or their answers',
  },
  'locks-out-api': { severity: 'info', text: 'a NamespaceAccess keeps pods from the API server' },
  'locks-out-mesh': { severity: 'error', text: 'policies refuse node programs at the certificate authority' },
} as const satisfies Readonly<Record<string, { readonly severity: Severity; readonly text: string }>>;

export type LintCode = keyof typeof lintCodes;

export const isLintCode = (text: string): text is LintCode => Object.hasOwn(lintCodes, text);

export interface LintedObject {
  readonly kind: 'AuthorizationPolicy' | 'PeerAuthentication' | 'NamespaceAccess' | 'NetworkPolicy';
  readonly namespace: string;
  readonly name: string;
}

export interface Finding {
  readonly code: LintCode;
  readonly severity: Severity;
  readonly object: LintedObject;
  /** `spec.rules[0].from[1].source.principals[0]`; empty: the object as a whole. */
  readonly field: string;
  /** One sentence without a full stop. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string | undefined;
}

export const finding = (
  code: LintCode,
  object: LintedObject,
  field: string,
  message: string,
  hint?: string,
): Finding => ({ code, severity: lintCodes[code].severity, object, field, message, hint });
