/** Calls of a pod, and who answered them by what the client's node has on record. */
import type { ClusterApi } from './api.ts';
import { eventually } from './eventually.ts';
import { echo, load } from './fortio.ts';
import type { Connection, Mesh } from './mesh.ts';
import type { PodRef } from './pod-exec.ts';

const recordTimeoutMs = 60_000;

export class Caller {
  readonly #api: ClusterApi;
  readonly #mesh: Mesh;
  readonly #from: PodRef;

  constructor(api: ClusterApi, mesh: Mesh, from: PodRef) {
    this.#api = api;
    this.#mesh = mesh;
    this.#from = from;
  }

  /** Until it is answered: a Service exists some moments before DNS, kube-proxy and the mesh know of it. */
  async whenAnswered(url: string): Promise<void> {
    await eventually(
      `${url} answers`,
      () => echo(this.#api, this.#from, url, 'hello'),
      (text) => text.includes('hello'),
      recordTimeoutMs,
    );
  }

  /** What came back. @throws MeshError UNAVAILABLE with the client's words */
  call(url: string, text: string): Promise<string> {
    return echo(this.#api, this.#from, url, text);
  }

  /** Names of the pods that answered so many calls, each of which was a connection of its own. */
  async answeredBy(url: string, calls = 16): Promise<readonly string[]> {
    const since = new Date().toISOString();
    const { results } = await load(this.#api, this.#from, calls, '-keepalive=false', url);
    if (results['200'] !== calls) throw new Error(`${url} answered ${JSON.stringify(results)}`);
    const records = await this.whenRecorded(`${calls} calls of ${url}`, (all) => all.length >= calls, since);
    const names = records.map(({ destination }) => destination.workload ?? destination.address);
    return [...new Set(names)].map((name) => name.replace(`${this.#from.namespace}/`, '')).toSorted();
  }

  /** How long it took to be refused. @throws Error when the call was answered */
  async refusedAfterMs(url: string): Promise<number> {
    const startedAt = performance.now();
    const answer = await echo(this.#api, this.#from, url, 'hello').catch(() => undefined);
    if (answer !== undefined) throw new Error(`${url} answered: ${answer}`);
    return performance.now() - startedAt;
  }

  /** The client's records of connections that have ended since. */
  async whenRecorded(
    what: string,
    isSo: (records: readonly Connection[]) => boolean,
    since: string,
  ): Promise<readonly Connection[]> {
    return eventually(`on record: ${what}`, () => this.records(since), isSo, recordTimeoutMs);
  }

  async records(since: string): Promise<readonly Connection[]> {
    const { namespace, name } = this.#from;
    const all = await this.#mesh.connections(namespace);
    return all.filter(
      ({ direction, source, openedAt, outcome }) =>
        direction === 'outbound' &&
        source.workload === `${namespace}/${name}` &&
        openedAt >= since &&
        outcome !== null,
    );
  }
}
