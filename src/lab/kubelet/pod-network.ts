/**
 * A pod's place in the world: cgroup, network namespace and link, holder process. Made whole, found as an earlier
 * kubelet left it, or removed.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { MeshError } from '../../base/errors.ts';
import { parseIp } from '../../base/ip.ts';
import type { Pod } from '../../kube/objects.ts';
import { netnsPath, podNetns } from '../layout.ts';
import type { PodPaths } from '../layout.ts';
import { podLinkScript, podScript } from '../plan/network-script.ts';
import type { PodNetwork } from '../plan/network-script.ts';
import { hostsFile, resolvConf } from '../plan/pod-files.ts';
import { readPodRecord, writePodRecord } from '../pod-record.ts';
import type { PodRecord } from '../pod-record.ts';
import { killCgroup, makeCgroup, removeCgroup } from '../system/cgroup.ts';
import { holder, inCgroup } from '../system/enter.ts';
import { deleteNamespaces, runIpScript } from '../system/netns.ts';
import { isAlive, processRef } from '../system/process.ts';
import type { ProcessRef } from '../system/process.ts';
import { systemPath } from '../system/run.ts';
import type { LabNode } from '../topology.ts';

export interface PodPlace {
  readonly uid: string;
  readonly pod: Pod;
  readonly node: LabNode;
  readonly cgroup: string;
  readonly paths: PodPaths;
}

/** What an earlier kubelet wrote down of the pod; undefined when its holder is no more. */
export async function findPodNetwork({ uid, paths }: PodPlace): Promise<PodRecord | undefined> {
  const record = await readPodRecord(paths);
  return record?.uid === uid && isAlive(record.holder) ? record : undefined;
}

/** Returns when everything is in place. Runs in the node's network namespace and the host's mounts. */
export async function makePodNetwork(place: PodPlace): Promise<PodRecord> {
  const ips = (place.pod.status?.podIPs ?? []).map(({ ip }) => parseIp(ip));
  const network: PodNetwork = { uid: place.uid, ips };
  const { name, namespace } = place.pod.metadata;
  await mkdir(place.paths.dir, { recursive: true });
  await Promise.all([
    makeCgroup(place.cgroup),
    writeFile(place.paths.resolvConf, resolvConf(namespace)),
    writeFile(place.paths.hosts, hostsFile(name, ips)),
    runIpScript(podLinkScript(network, place.node)),
  ]);
  const record = { uid: place.uid, holder: await startHolder(place, network) };
  await writePodRecord(place.paths, record);
  return record;
}

/** Ends everything in the pod. Harmless where there is nothing, or not all of it. */
export async function removePodNetwork({ uid, cgroup, paths }: PodPlace): Promise<void> {
  await killCgroup(cgroup);
  await removeCgroup(cgroup);
  await deleteNamespaces([podNetns(uid)].filter((name) => existsSync(netnsPath(name))));
  await rm(paths.dir, { recursive: true, force: true });
}

async function startHolder(place: PodPlace, network: PodNetwork): Promise<ProcessRef> {
  const files = { ...place.paths, hostname: place.pod.metadata.name.slice(0, 63) };
  const [command, ...args] = inCgroup(place.cgroup, holder(netnsPath(podNetns(place.uid)), files));
  const child = spawn(command, args, { env: { PATH: systemPath }, stdio: 'pipe', detached: true });
  child.stdin.on('error', () => {});
  child.stdin.end(podScript(network));
  await readiness(child);
  const ref = child.pid === undefined ? undefined : processRef(child.pid);
  if (ref === undefined) throw new MeshError('INTERNAL', 'the pod’s holder ended at once');
  return ref;
}

/** Resolves at the holder's word; rejects with what it complained about when it ends instead. */
function readiness(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text));
    child.stdout?.once('data', () => resolve());
    child.once('error', reject);
    child.once('close', (code) => {
      const reason = complaint.trim().split('\n').slice(0, 3).join('; ');
      reject(
        new MeshError(
          'SYSCALL',
          `the pod’s namespaces could not be set up: ${reason === '' ? `exit code ${code}` : reason}`,
        ),
      );
    });
  });
}
