/**
 * What would become of a connection, and why: the answer to `mesh-ebpf explain`. A pure function of a version of the mesh
 * and of what the node knows besides. It decides nothing itself: verdicts are those of the steps that a connection
 * takes (`journey.ts`), and what is said of policies comes from the compiled form these judge by.
 */
import type { KernelPathScope } from '../../datapath/desired.ts';
import { MeshError } from '../../base/errors.ts';
import { formatSocketAddress } from '../../base/ip.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Workload } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import { createAuthorizer, type PolicySetLookup } from '../../policy/authorize.ts';
import type {
  ExplainedEndpoint,
  ExplainedSource,
  ExplainedWay,
  ExplanationBody,
  ExplanationQuery,
} from '../../telemetry/explanation-types.ts';
import type { EnrolmentLookup } from './capture.ts';
import { type Ending, type Journey, type Judgement, travel } from './journey.ts';
import { type Destination, findDestination, findSource, type Source } from './parties.ts';
import { considered } from './policies.ts';
import { verdictItem } from './verdict-item.ts';

export interface ExplainerDeps {
  /** Whose pods reach each other without ztunnel; undefined: nobody's, or it is not known. */
  readonly kernelPath?: KernelPathScope | undefined;
  readonly policySetFor: PolicySetLookup;
  /** Of pods of this node; others' are not known. */
  readonly enrolment: EnrolmentLookup;
  readonly certificate: (identity: SpiffeId) => KnownCertificate | undefined;
}

export interface KnownCertificate {
  readonly state: string;
  /** RFC 3339. */
  readonly notAfter: string | null;
  /** Why no connection can be made with it now. */
  readonly trouble: MeshError | undefined;
}

export type Explainer = (view: MeshView, query: ExplanationQuery) => ExplanationBody;

const limits = { ways: 8, endpoints: 20, dialled: 20 } as const;

/** The explainer throws MeshError INVALID_ARGUMENT, NOT_FOUND for names that lead nowhere. */
export function createExplainer(deps: ExplainerDeps): Explainer {
  const authorizer = createAuthorizer(deps.policySetFor);
  return (view, query) => {
    const source = findSource(view, query.from, query.namespace);
    const destination = findDestination(view, query.to, query.namespace, source);
    const journeys = destination.dialled.map((dialled) =>
      travel(
        {
          view,
          authorizer,
          enrolment: deps.enrolment,
          kernelPath: deps.kernelPath,
          certificateTrouble: (id) => deps.certificate(id)?.trouble,
        },
        { source, dialled, transport: destination.transport },
      ),
    );
    return body({ view, query, source, destination, journeys, deps });
  };
}

interface Told {
  readonly view: MeshView;
  readonly query: ExplanationQuery;
  readonly source: Source;
  readonly destination: Destination;
  readonly journeys: readonly Journey[];
  readonly deps: ExplainerDeps;
}

function body(told: Told): ExplanationBody {
  const { view, query, source, destination, journeys, deps } = told;
  const stops = journeys.flatMap(({ stopped }) => stopped ?? []);
  const endings = journeys.flatMap((journey) => journey.endings);
  const judgements = journeys.length === 0 ? [unresolved(destination)] : [...stops, ...endings];
  const first = journeys.find(({ capture }) => capture.kind !== 'captured') ?? journeys[0];
  const egress = journeys.find((journey) => journey.egress !== undefined)?.egress;
  return {
    meshVersion: view.version,
    source: sourceItem(query.from, source, deps),
    destination: {
      asked: query.to,
      dialled: destination.dialled.slice(0, limits.dialled).map(formatSocketAddress),
      transport: destination.transport,
      service: destination.service?.key ?? null,
    },
    capture: {
      captured: journeys.length > 0 && journeys.every(({ capture }) => capture.kind === 'captured'),
      why: first?.capture.why ?? 'there is nothing to connect to',
    },
    egress: egress === undefined ? null : verdictItem({ verdict: egress, refused: undefined }),
    ways: waysOf(told, endings),
    ...overall(judgements),
    notes: notesOn(told),
  };
}

const unresolved = ({ service }: Destination): Judgement => ({
  verdict: undefined,
  refused: {
    hop: 'resolve',
    error: new MeshError(
      'NO_HEALTHY_ENDPOINT',
      service === undefined
        ? 'the destination has no address'
        : `service ${service.key} is headless and has no ready endpoint: its name resolves to nothing`,
    ),
  },
});

/** One verdict for all where all come to the same. */
function overall(judgements: readonly Judgement[]): Pick<ExplanationBody, 'outcome' | 'verdict'> {
  const verdicts = judgements.map((each) => verdictItem(each));
  const [first, ...others] = verdicts;
  if (first === undefined) throw new MeshError('INTERNAL', 'a connection that comes to nothing at all');
  return others.every(({ outcome }) => outcome === first.outcome)
    ? { outcome: first.outcome, verdict: first }
    : { outcome: 'depends', verdict: null };
}

function sourceItem(asked: string, source: Source, { certificate }: ExplainerDeps): ExplainedSource {
  if (source.type === 'address') {
    return { asked, workload: null, node: null, address: source.ip, identity: null, certificate: null };
  }
  const { identity, node, addresses, protocol } = source.workload;
  const known = certificate(identity);
  return {
    asked,
    workload: source.type === 'pod' ? podName(source.workload) : null,
    node: node === '' ? null : node,
    address: addresses[0] ?? null,
    identity: protocol === 'hbone' ? identity : null,
    certificate: known === undefined ? null : { state: known.state, notAfter: known.notAfter },
  };
}

/** Endpoints where it fares alike are one way, told by the first of them. Where it fares worse comes first. */
function waysOf(told: Told, endings: readonly Ending[]): readonly ExplainedWay[] {
  const alike = Map.groupBy(endings, (ending) =>
    JSON.stringify([ending.path, ending.workload?.protocol, verdictItem(ending), ending.expects]),
  );
  const ways = [...alike.values()].toSorted((a, b) => gravity(a) - gravity(b));
  return ways.slice(0, limits.ways).map((same) => wayOf(told, same));
}

const gravity = ([ending]: readonly Ending[]): number => (ending?.refused === undefined ? 1 : 0);

function wayOf({ view, source, deps }: Told, same: readonly Ending[]): ExplainedWay {
  const [ending] = same;
  if (ending === undefined) throw new MeshError('INTERNAL', 'a way without an end');
  const found = ending.inbound && considered(view, ending.inbound, deps.policySetFor);
  const { mode, ...policies } = found ?? nothingConsidered;
  const isProved = ending.path !== 'plaintext' && source.type !== 'address';
  return {
    endpoints: same.slice(0, limits.endpoints).map(endpointItem),
    endpointCount: same.length,
    path: ending.path ?? null,
    pathWhy: ending.why,
    tls: mode && {
      proves: isProved ? source.workload.identity : null,
      proof: isProved ? (ending.path === 'kernel' ? 'kernel' : 'certificate') : null,
      expects: ending.expects,
      ...mode,
    },
    ...policies,
    verdict: verdictItem(ending, ending.why),
    answeredBy: null,
  };
}

const nothingConsidered = {
  mode: null,
  policies: [],
  policiesOmitted: 0,
  notForIt: [],
  inboundDefault: null,
} as const;

const endpointItem = ({ endpoint, workload }: Ending): ExplainedEndpoint => ({
  address: formatSocketAddress(endpoint),
  workload: workload === undefined ? null : podName(workload),
  node: workload?.node ?? null,
});

function notesOn({ source, query, destination }: Told): readonly string[] {
  const notes: string[] = [];
  if (source.type === 'pod' && source.alike > 1) {
    notes.push(`"${query.from}" is ${source.alike} pods: told of ${podName(source.workload)}`);
  }
  if (source.type === 'identity' && source.ip === undefined) {
    notes.push(
      'no address is known of the source: conditions on it are asked of 0.0.0.0; give one as sa/NAMESPACE/NAME@IP',
    );
  }
  if (destination.service?.affinityTimeoutMs !== undefined) {
    notes.push(
      'a client’s connections go to one endpoint for a while (sessionAffinity): any of them, for this answer',
    );
  }
  return notes;
}

const podName = ({ namespace, name }: Workload): string => `${namespace}/${name}`;
