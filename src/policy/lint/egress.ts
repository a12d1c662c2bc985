/**
 * Egress rules of NamespaceAccess that have no effect, or a wider one than meant. Whom their objects are for, and what
 * everybody needs, other checks look at.
 */
import { formatPrefix, type IpAddress } from '../../base/ip.ts';
import type { EgressRule, EgressTarget, NamespaceAccess, PortRange } from '../../model/access.ts';
import { targetAddresses } from '../egress-targets.ts';
import { withDefault } from '../with-default.ts';
import { accessObject } from './access.ts';
import type { Check, LintContext } from './context.ts';
import { egressCovers, isWithin, podsCover } from './egress-covers.ts';
import { type Finding, finding } from './finding.ts';

/** Rules of a namespace that are compared with one another, at most: beyond it the comparison would take seconds. */
const maxRules = 2_000;

interface Rule {
  readonly access: NamespaceAccess;
  readonly index: number;
  readonly rule: EgressRule;
}

export const egress: Check = (context) => {
  const rules = [...context.input.view.access.values()]
    .toSorted((a, b) => (a.key < b.key ? -1 : 1))
    .flatMap((access) => (access.egress?.rules ?? []).map((rule, index) => ({ access, index, rule })));
  const targets = targetChecks(context);
  return [
    ...rules.flatMap((rule) => [...breadthOf(rule), ...targets(rule)]),
    ...[...Map.groupBy(rules, ({ access }) => access.namespace).values()].flatMap(covered),
  ];
};

const ruleField = ({ index }: Rule): string => `spec.egress.rules[${index}]`;

const targetField = (rule: Rule, i: number): string => `${ruleField(rule)}.to[${i}]`;

function breadthOf(given: Rule): readonly Finding[] {
  const { access, rule } = given;
  const object = accessObject(access);
  if (rule.to === undefined && rule.ports === undefined) {
    return rule.action === 'allow'
      ? [
          finding(
            'allows-everything',
            object,
            ruleField(given),
            'it has neither to nor ports: everything is open, as without a default of Deny',
            'name what the pods need',
          ),
        ]
      : [
          finding(
            'denies-everything',
            object,
            ruleField(given),
            'it has neither to nor ports: everything is refused, DNS included, whatever is allowed elsewhere',
            'for a default deny that can be opened, write default: Deny',
          ),
        ];
  }
  return rule.action === 'allow' ? anyDestination(given, object) : [];
}

const except = 'name the destinations, or leave out with except what is not meant, as 169.254.169.254/32';

function anyDestination(given: Rule, object: ReturnType<typeof accessObject>): readonly Finding[] {
  const { to, ports } = given.rule;
  const what = ports === undefined ? 'on every port' : `on ${ports.map(portText).join(', ')}`;
  if (to === undefined) {
    const message = `it does not say where to: all addresses are open ${what}, those of the nodes and of the cloud’s metadata included`;
    return [finding('any-destination', object, ruleField(given), message, 'add to')];
  }
  return to.flatMap((target, i) => {
    if (target.type !== 'cidr' || target.prefix.length > 0 || target.except.length > 0) return [];
    const block = formatPrefix(target.prefix);
    const message = `${block} is every address of its family, open ${what}, those of the nodes and of the cloud’s metadata included`;
    return [finding('any-destination', object, targetField(given, i), message, except)];
  });
}

const portText = ({ protocol, first, last }: PortRange): string => {
  const name = protocol.toUpperCase();
  if (first === 0) return `every ${name} port`;
  return first === last ? `${name} ${first}` : `${name} ${first}-${last}`;
};

/** Targets that are nowhere, and those of which egress rules have no say. */
function targetChecks({ input: { view }, pods }: LintContext): (rule: Rule) => readonly Finding[] {
  const addresses = new Map<string, ReadonlySet<IpAddress>>();
  const addressesOf = (target: Exclude<EgressTarget, { readonly type: 'cidr' }>): ReadonlySet<IpAddress> =>
    withDefault(addresses, targetName(target), () => targetAddresses(view, target));
  const isMeshed = (ip: IpAddress): boolean => {
    const service = view.serviceByVip(ip);
    if (service === undefined) return view.workloadByIp(ip)?.protocol === 'hbone';
    const { endpoints } = service;
    return (
      endpoints.length > 0 &&
      endpoints.every(({ address }) => view.workloadByIp(address)?.protocol === 'hbone')
    );
  };
  const isAllMeshed = (target: EgressTarget): boolean =>
    target.type === 'cidr'
      ? target.prefix.length === fullLength(target) && isMeshed(target.prefix.base)
      : addressesOf(target).size > 0 && [...addressesOf(target)].every(isMeshed);
  return (given) =>
    (given.rule.to ?? []).flatMap((target, i): readonly Finding[] => {
      const at = targetField(given, i);
      const object = accessObject(given.access);
      if (target.type === 'cidr') {
        if (target.except.some((hole) => isWithin(target.prefix, hole))) {
          const message = `except takes out all of ${formatPrefix(target.prefix)}: it never matches`;
          return [finding('contradictory-rule', object, at, message)];
        }
      } else if (pods.arePodsKnown && addressesOf(target).size === 0) {
        return [nowhere(given, at, target)];
      }
      return isAllMeshed(target) ? inMesh(given, at, target) : [];
    });
}

const fullLength = ({ prefix }: Extract<EgressTarget, { readonly type: 'cidr' }>): number =>
  prefix.base.includes(':') ? 128 : 32;

function nowhere(
  { access, rule }: Rule,
  at: string,
  target: Exclude<EgressTarget, { readonly type: 'cidr' }>,
): Finding {
  const what =
    target.type === 'service'
      ? `there is no Service ${target.service}, or it has no address`
      : `there is no Service in namespace ${target.namespace}, and no pod with an address of its own`;
  const effect = rule.action === 'allow' ? 'it opens nothing' : 'it closes nothing';
  return finding('unknown-destination', accessObject(access), at, `${what}: ${effect}`);
}

/** TCP to the mesh is no egress; a rule that closes it is the more dangerous mistake, so there it need not be TCP alone. */
function inMesh({ access, rule }: Rule, at: string, target: EgressTarget): readonly Finding[] {
  const ports = rule.ports ?? [{ protocol: 'tcp' }, { protocol: 'udp' }];
  const [hasTcp, hasUdp] = (['tcp', 'udp'] as const).map((wanted) =>
    ports.some(({ protocol }) => protocol === wanted),
  );
  if (hasTcp !== true || (rule.action === 'allow' && hasUdp === true)) return [];
  const what = `${targetName(target)} is in the mesh: egress rules have no say in TCP there`;
  const [effect, hint] =
    rule.action === 'deny'
      ? ['it stays open', 'refuse it there, with an AuthorizationPolicy']
      : ['it needs no rule', 'leave it out'];
  return [finding('in-mesh-destination', accessObject(access), at, `${what}, ${effect}`, hint)];
}

function targetName(target: EgressTarget): string {
  switch (target.type) {
    case 'cidr':
      return formatPrefix(target.prefix);
    case 'service':
      return `Service ${target.service}`;
    case 'namespace':
      return `namespace ${target.namespace}`;
  }
}

/** Of the rules of one namespace those that another one leaves nothing to say. */
function covered(rules: readonly Rule[]): readonly Finding[] {
  if (rules.length > maxRules) return [];
  return rules.flatMap((rule): readonly Finding[] => {
    const covering = rules.filter(
      (other) =>
        other !== rule && podsCover(other.access, rule.access) && egressCovers(other.rule, rule.rule),
    );
    const denied =
      rule.rule.action === 'allow' ? covering.find((other) => other.rule.action === 'deny') : undefined;
    if (denied !== undefined) {
      const message = `${nameOf(denied)} denies all that this rule allows`;
      const hint = 'narrow the one or delete the other';
      return [finding('shadowed-by-deny', accessObject(rule.access), ruleField(rule), message, hint)];
    }
    const better = covering.find((other) => other.rule.action === rule.rule.action && isKept(other, rule));
    if (better === undefined) return [];
    const message = `${nameOf(better)} covers this rule: without it nothing changes`;
    return [finding('redundant-rule', accessObject(rule.access), ruleField(rule), message)];
  });
}

const nameOf = (rule: Rule): string => `${rule.access.key} ${ruleField(rule)}`;

/** Of two that cover each other the first stays. */
const isKept = (other: Rule, rule: Rule): boolean =>
  !podsCover(rule.access, other.access) || !egressCovers(rule.rule, other.rule) || isBefore(other, rule);

const isBefore = (a: Rule, b: Rule): boolean =>
  a.access.key === b.access.key ? a.index < b.index : a.access.key < b.access.key;
