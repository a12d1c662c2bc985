/** Makes one connection of the demo and finds out, from three independent witnesses, what became of it. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../base/errors.ts';
import type { StatusPod } from '../../lab/commands/status.ts';
import { fabricNetns, netnsPath } from '../../lab/layout.ts';
import type { ConnectionItem } from '../../telemetry/admin-api.ts';
import type { Act, OnTheLink, Path } from './acts.ts';
import type { LabClient } from './lab-client.ts';
import { captureLink } from './link-capture.ts';

export interface Outcome {
  readonly act: Act;
  readonly path: Path;
  /** What the server's ztunnel saw proved; undefined: nobody. */
  readonly identity: string | undefined;
  readonly link: OnTheLink;
  /** Milliseconds of the first request, and of one on a warm path. */
  readonly firstMs: number;
  readonly warmMs: number;
  /** Why it is not what was expected; undefined: it is. */
  readonly wrong: string | undefined;
}

export interface Stage {
  readonly client: LabClient;
  readonly pods: readonly StatusPod[];
  /** Where packets are kept while they are looked at. */
  readonly scratch: string;
}

interface Answer {
  readonly ok: boolean;
  readonly milliseconds: number;
  readonly error?: string;
}

const requests = 3;

export async function perform(act: Act, stage: Stage): Promise<Outcome> {
  const [from, to] = [podOf(act.from, stage), podOf(act.to, stage)];
  const marker = `mesh-ebpf-demo-${randomUUID()}`;
  const before = (await stage.client.connections(to.node, 0)).last;
  const capture = await captureLink(netnsPath(fabricNetns), join(stage.scratch, 'link.pcap'));
  const [v4 = '', v6 = ''] = to.ips;
  const url = act.url.replace('{4}', v4).replace('{6}', v6);
  const answers = await stage.client.app<Answer>(
    act.from,
    'get',
    url,
    '--count',
    String(requests),
    '--data',
    marker,
  );
  const heard = await capture.stop();
  const record = await recordOf(act, stage, to.node, before);
  const link = from.node === to.node ? 'never crosses' : heard.contains(marker) ? 'READABLE' : 'encrypted';
  const path = pathOf(record);
  return {
    act,
    path,
    identity: record?.source.identity ?? undefined,
    link,
    firstMs: answers[0]?.milliseconds ?? Number.NaN,
    warmMs: answers.at(-1)?.milliseconds ?? Number.NaN,
    wrong: complaint(act, answers, path, link, heard.bytes),
  };
}

function podOf(name: string, { pods }: Stage): StatusPod {
  const pod = pods.find((candidate) => `${candidate.namespace}/${candidate.name}` === name);
  if (pod === undefined) throw new MeshError('NOT_FOUND', `the lab has no pod ${name}`);
  return pod;
}

/** The called pod's ztunnel completes its record when the connection has closed: soon, but not at once. */
async function recordOf(
  act: Act,
  { client }: Stage,
  node: string,
  after: number,
): Promise<ConnectionItem | undefined> {
  const attempts = act.expect.path === 'not captured' ? 1 : 20;
  for (let i = 0; i < attempts; i++) {
    const { items } = await client.connections(node, after);
    const found = items.find(
      ({ direction, destination }) => direction === 'inbound' && destination.workload === act.to,
    );
    if (found !== undefined) return found;
    await delay(50);
  }
  return undefined;
}

function pathOf(record: ConnectionItem | undefined): Path {
  if (record === undefined) return 'not captured';
  return record.path === 'tunnel' ? 'mTLS tunnel' : 'plaintext';
}

function complaint(
  { expect }: Act,
  answers: readonly Answer[],
  path: Path,
  link: OnTheLink,
  heardBytes: number,
): string | undefined {
  const failed = answers.find(({ ok }) => !ok);
  if (answers.length < requests || failed !== undefined)
    return `no answer: ${failed?.error ?? 'the client failed'}`;
  if (path !== expect.path) return `expected the path "${expect.path}"`;
  // An empty capture would call anything encrypted.
  if (link !== 'never crosses' && heardBytes < 500) return 'nothing was heard on the link';
  if (link !== expect.link) return `expected on the link: ${expect.link}`;
  return undefined;
}
