/**
 * NamespaceAccess → the model's. Pure. What cannot be read makes the object invalid; it then comes with its strict
 * reading, in force when there is no last good version: of a rule that allows, what is unreadable is left out, one that
 * denies denies more.
 */
import { MeshError } from '../../base/errors.ts';
import { type IpPrefix, isIpv4, parsePrefix, prefixContains } from '../../base/ip.ts';
import {
  accessKey,
  type AccessDefault,
  type EgressAccess,
  type EgressRule,
  type EgressTarget,
  type NamespaceAccess,
  type PortRange,
} from '../../model/access.ts';
import { serviceKey } from '../../model/mesh.ts';
import type { NamespaceAccessObject, SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';
import type {
  AccessPortObject,
  AccessRuleObject,
  AccessTargetObject,
} from '../resources/namespace-access.ts';
import { objectProblem } from './problem.ts';

export interface TranslatedAccess {
  readonly access: NamespaceAccess;
  /** False: some of it could not be read, and `problems` has an error. */
  readonly valid: boolean;
  readonly problems: readonly Problem[];
}

export function translateAccess(sourced: SourcedObject<NamespaceAccessObject>): TranslatedAccess {
  const { metadata, spec } = sourced.object;
  const errors: Problem[] = [];
  const report = (field: string, message: string): void =>
    void errors.push(objectProblem(sourced, field, message));
  const access = {
    key: accessKey(metadata.namespace, metadata.name),
    namespace: metadata.namespace,
    name: metadata.name,
    labels: spec.selector?.matchLabels ?? {},
    inbound: spec.inbound === undefined ? undefined : defaults[spec.inbound.default],
    egress: spec.egress === undefined ? undefined : egressOf(spec.egress, report),
  };
  return { access, valid: errors.length === 0, problems: [...errors, ...remarks(sourced, access)] };
}

type Report = (field: string, message: string) => void;

const defaults: Readonly<Record<'Allow' | 'Deny', AccessDefault>> = { Allow: 'allow', Deny: 'deny' };

function egressOf(
  egress: NonNullable<NamespaceAccessObject['spec']['egress']>,
  report: Report,
): EgressAccess {
  const rules = (egress.rules ?? []).flatMap(
    (rule, i) => ruleOf(rule, `spec.egress.rules[${i}]`, report) ?? [],
  );
  return { default: defaults[egress.default], rules };
}

/** Undefined for a rule that would allow and has no readable part. */
function ruleOf(rule: AccessRuleObject, field: string, report: Report): EgressRule | undefined {
  const action = defaults[rule.action ?? 'Allow'];
  const to = rule.to?.map((target, i) => targetOf(target, `${field}.to[${i}]`, report));
  const ports = rule.ports?.map((port, i) => portOf(port, `${field}.ports[${i}]`, report));
  const isBroken = [...(to ?? []), ...(ports ?? [])].includes(undefined);
  if (isBroken && action === 'deny') {
    return {
      action,
      to: to?.includes(undefined) === true ? undefined : to?.filter(isRead),
      ports: ports?.includes(undefined) === true ? undefined : ports?.filter(isRead),
    };
  }
  const read = { action, to: to?.filter(isRead), ports: ports?.filter(isRead) };
  return read.to?.length === 0 || read.ports?.length === 0 ? undefined : read;
}

const isRead = <T>(value: T | undefined): value is T => value !== undefined;

function targetOf(target: AccessTargetObject, field: string, report: Report): EgressTarget | undefined {
  const { cidr, except, service, namespace } = target;
  const given = [cidr, service, namespace].filter(isRead).length;
  if (given !== 1) {
    report(field, `expected one of cidr, service and namespace, found ${given} of them`);
    return undefined;
  }
  if (except !== undefined && cidr === undefined) {
    report(`${field}.except`, 'only a cidr has exceptions');
    return undefined;
  }
  if (service !== undefined) return { type: 'service', service: serviceKey(service.namespace, service.name) };
  if (namespace !== undefined) return { type: 'namespace', namespace };
  return blockOf(cidr ?? '', except ?? [], field, report);
}

function blockOf(
  cidr: string,
  except: readonly string[],
  field: string,
  report: Report,
): EgressTarget | undefined {
  const prefix = prefixOf(cidr, `${field}.cidr`, report);
  const holes = except.map((text, i) => {
    const hole = prefixOf(text, `${field}.except[${i}]`, report);
    if (hole === undefined || prefix === undefined || isWithin(hole, prefix)) return hole;
    report(`${field}.except[${i}]`, `${text} is not in ${cidr}`);
    return undefined;
  });
  if (prefix === undefined || holes.includes(undefined)) return undefined;
  return { type: 'cidr', prefix, except: holes.filter(isRead) };
}

const isWithin = (inner: IpPrefix, outer: IpPrefix): boolean =>
  isIpv4(inner.base) === isIpv4(outer.base) &&
  inner.length >= outer.length &&
  prefixContains(outer, inner.base);

function prefixOf(text: string, field: string, report: Report): IpPrefix | undefined {
  try {
    return parsePrefix(text);
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    report(field, error.message);
    return undefined;
  }
}

function portOf(
  { protocol, port, endPort }: AccessPortObject,
  field: string,
  report: Report,
): PortRange | undefined {
  const transport = protocol === 'TCP' ? 'tcp' : 'udp';
  if (port === undefined && endPort === undefined) return { protocol: transport, first: 0, last: 65_535 };
  if (port === undefined) report(`${field}.endPort`, 'there is no port that it is the end of');
  else if (endPort !== undefined && endPort < port)
    report(`${field}.endPort`, `it is less than port, ${port}`);
  else return { protocol: transport, first: port, last: endPort ?? port };
  return undefined;
}

/** What is no mistake in form and yet says nothing. */
function remarks(sourced: SourcedObject, { inbound, egress }: NamespaceAccess): readonly Problem[] {
  const warn = (field: string, message: string): Problem => ({
    ...objectProblem(sourced, field, message),
    severity: 'warning',
  });
  if (inbound === undefined && egress === undefined) {
    return [warn('spec', 'it has neither inbound nor egress, and says nothing')];
  }
  const idle =
    egress?.default === 'allow' &&
    egress.rules.length > 0 &&
    egress.rules.every(({ action }) => action === 'allow');
  return idle
    ? [
        warn(
          'spec.egress.rules',
          'what they allow is allowed anyway, unless another NamespaceAccess of these pods has the default Deny',
        ),
      ]
    : [];
}
