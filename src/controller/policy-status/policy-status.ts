/**
 * What becomes of each policy, on its status: whether it is accepted, and which nodes run which generation of it. Every
 * replica hears of policies, nodes and their reports; the one that leads writes.
 */
import type { Clock } from '../../base/clock.ts';
import type { MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { ObjectSink } from '../../kube/source.ts';
import type { MeshConfig, NodeName } from '../../model/mesh.ts';
import type { PolicyReportReply } from '../../rpc/generated/policy-report.ts';
import { isPolicyKind } from '../../kube/policy-problems.ts';
import type { ServiceAccount } from '../kubernetes/pods-by-node.ts';
import { AgentNodes } from './agent-nodes.ts';
import { NodeProgress, parseVersion } from './node-progress.ts';
import { PolicyBook } from './policy-book.ts';
import { StatusWriter } from './status-writer.ts';

export interface PolicyStatusDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly leading: () => boolean;
  /** Why policies cannot be followed, if so. */
  readonly unread: () => MeshError | undefined;
  readonly written?: (result: string) => void;
}

/** Reports of a change come at up to 100 a second, whatever the number of nodes: each is a TLS handshake. */
const spread = { minMs: 1_000, perNodeMs: 10 };
/** Reports without a change: for a controller that has missed one. */
const againMs = 600_000;
/** So soon nodes hear that a trouble is over, and sooner in a small cluster. */
const troubledAgain = { minMs: 30_000, perNodeMs: 20 };

export class PolicyStatus {
  /** Hears of pods. */
  readonly pods: ObjectSink;
  /** Hears of policies. */
  readonly policies: ObjectSink;
  readonly #deps: PolicyStatusDeps;
  readonly #agents: AgentNodes;
  readonly #progress: NodeProgress;
  readonly #writer: StatusWriter;

  constructor(deps: PolicyStatusDeps, config: MeshConfig, agent: ServiceAccount) {
    this.#deps = deps;
    this.#agents = new AgentNodes(agent, (gone) => this.#progress.nodesChanged(gone));
    this.#progress = new NodeProgress(() => this.#agents.nodes);
    const book = new PolicyBook(config, this.#progress, (key) => this.#writer.look(key));
    this.#writer = new StatusWriter({ ...deps, book, nodes: () => this.#agents.nodes.size });
    this.pods = this.#agents;
    this.policies = book;
  }

  get nodes(): { readonly reporting: number; readonly silent: number } {
    const { reporting } = this.#progress;
    return { reporting, silent: this.#agents.nodes.size - reporting };
  }

  /** Takes what a node says; kinds and versions that are none are passed over. */
  report(node: NodeName, applied: ReadonlyMap<string, string>): PolicyReportReply {
    const versions = [...applied].flatMap(([kind, text]) => {
      const version = parseVersion(text);
      return isPolicyKind(kind) && version !== undefined ? [[kind, version] as const] : [];
    });
    this.#progress.report(node, new Map(versions));
    const nodes = this.#agents.nodes.size;
    const error = this.#trouble();
    return {
      spreadMs: Math.max(spread.minMs, nodes * spread.perNodeMs),
      againMs: error === undefined ? againMs : Math.max(troubledAgain.minMs, nodes * troubledAgain.perNodeMs),
      trouble:
        error === undefined
          ? undefined
          : { code: error.code, message: error.message, hint: error.hint ?? '' },
    };
  }

  stop(): void {
    this.#writer.stop();
  }

  #trouble(): MeshError | undefined {
    return this.#deps.unread() ?? this.#writer.failures[0]?.error;
  }
}
