/** What is known of pods, looked up by what policies say: by scope, by namespace, by identity, by port. */
import type { IpAddress, Port } from '../../base/ip.ts';
import type { Service, Workload } from '../../model/mesh.ts';
import { applicableLookup, type Scoped } from '../applicable.ts';
import { withoutScheme } from '../attributes.ts';
import { patternKind } from '../pattern-map.ts';
import { scopeKey } from '../scope-key.ts';
import { withDefault } from '../with-default.ts';
import type { LintInput } from './input.ts';

/** Pods of one scope, in sum. */
export interface Target {
  readonly pods: number;
  readonly meshed: number;
  /** Ports that Services lead to, or that the pods' manifests name. */
  readonly ports: ReadonlySet<Port>;
  /** Of each of the pods a port is known. */
  readonly portsKnown: boolean;
  /** Service ports that lead to another port of these pods, and to which. */
  readonly servicePorts: ReadonlyMap<Port, { readonly service: Service; readonly target: Port }>;
}

export class PodFacts {
  readonly meshedNamespaces = new Set<string>();
  readonly namespaces: PatternSet;
  readonly principals: PatternSet;
  readonly meshedPrincipals = new Set<string>();
  readonly accounts = new Set<string>();
  readonly meshedAccounts = new Set<string>();
  readonly trustDomain: string;
  readonly #input: LintInput;
  readonly #portsAt = new Map<IpAddress, Map<Port, { service: Service; target: Port }>>();
  readonly #targets: ReadonlyMap<string, Workload[]>;
  readonly #sums = new Map<string, Target>();

  /** @param scoped everything whose pods will be asked for */
  constructor(input: LintInput, scoped: readonly Scoped[]) {
    this.#input = input;
    const { view, namespaces } = input;
    this.trustDomain = view.config.trustDomain;
    const principals = new Set<string>();
    const known = new Set(namespaces);
    for (const workload of view.workloads.values()) {
      const principal = withoutScheme(workload.identity);
      const account = `${workload.namespace}/${workload.serviceAccount}`;
      principals.add(principal);
      known.add(workload.namespace);
      this.accounts.add(account);
      if (workload.protocol !== 'hbone') continue;
      this.meshedNamespaces.add(workload.namespace);
      this.meshedPrincipals.add(principal);
      this.meshedAccounts.add(account);
    }
    this.namespaces = new PatternSet(known);
    this.principals = new PatternSet(principals);
    for (const service of view.services.values()) this.#noteService(service);
    this.#targets = targetsOf(input, scoped);
  }

  get arePodsKnown(): boolean {
    return this.#input.complete || this.#input.view.workloads.size > 0;
  }

  /** The pods that something applies to. Those of equal scope are counted once. */
  target(scoped: Scoped): Target {
    return withDefault(this.#sums, scopeKey(scoped), () => this.#sum(this.pods(scoped)));
  }

  pods(scoped: Scoped): readonly Workload[] {
    return this.#targets.get(scopeKey(scoped)) ?? [];
  }

  #noteService(service: Service): void {
    for (const { address, ports } of service.endpoints) {
      const at = withDefault(this.#portsAt, address, () => new Map());
      for (const [port, target] of ports) at.set(port, { service, target });
    }
  }

  #sum(pods: readonly Workload[]): Target {
    const { declaredPorts } = this.#input;
    const ports = new Set<Port>();
    const servicePorts = new Map<Port, { service: Service; target: Port }>();
    let portsKnown = pods.length > 0 && declaredPorts !== undefined;
    for (const pod of pods) {
      const declared = declaredPorts?.(pod) ?? [];
      for (const port of declared) ports.add(port);
      let isKnown = declared.length > 0;
      for (const address of pod.addresses) {
        for (const [port, leads] of this.#portsAt.get(address) ?? []) {
          ports.add(leads.target);
          if (port !== leads.target) servicePorts.set(port, leads);
          isKnown = true;
        }
      }
      portsKnown &&= isKnown;
    }
    const meshed = pods.filter(({ protocol }) => protocol === 'hbone').length;
    return { pods: pods.length, meshed, ports, portsKnown, servicePorts };
  }
}

/** One pass over the pods: each scope is looked up once, however many policies have it. */
function targetsOf({ view }: LintInput, scoped: readonly Scoped[]): ReadonlyMap<string, Workload[]> {
  const distinct = [...new Map(scoped.map((each) => [scopeKey(each), each])).values()];
  const lookup = applicableLookup(distinct, view);
  const targets = new Map<string, Workload[]>();
  for (const workload of view.workloads.values()) {
    const { mesh, namespace, selected } = lookup(workload);
    for (const each of [...mesh, ...namespace, ...selected]) {
      withDefault(targets, scopeKey(each), () => []).push(workload);
    }
  }
  return targets;
}

/** Strings that can be asked for patterns. */
export class PatternSet {
  readonly #all: ReadonlySet<string>;
  readonly #ascending: readonly string[];
  readonly #reversed: readonly string[];

  constructor(all: Iterable<string>) {
    this.#all = new Set(all);
    this.#ascending = [...this.#all].toSorted(byCode);
    this.#reversed = [...this.#all].map(reverse).toSorted(byCode);
  }

  matching(pattern: string): readonly string[] {
    switch (patternKind(pattern)) {
      case 'exact':
        return this.#all.has(pattern) ? [pattern] : [];
      case 'prefix':
        return beginningWith(this.#ascending, pattern.slice(0, -1));
      case 'suffix':
        return beginningWith(this.#reversed, reverse(pattern.slice(1))).map(reverse);
    }
  }
}

const byCode = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** By code units, as suffixes are compared. */
const reverse = (text: string): string => text.split('').toReversed().join('');

function beginningWith(ascending: readonly string[], prefix: string): readonly string[] {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (String(ascending[middle]) < prefix) low = middle + 1;
    else high = middle;
  }
  const found: string[] = [];
  for (let i = low; ascending[i]?.startsWith(prefix) === true; i++) found.push(String(ascending[i]));
  return found;
}
