/** The certificate authority that the node program needs to be ready: the project's own, told by files. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeJoinToken } from '../../src/controller/join-tokens.ts';
import { inCgroup } from '../../src/lab/system/enter.ts';
import type { NodeName } from '../../src/model/mesh.ts';
import { root } from '../bench/lab.ts';
import { startRecorded } from '../cluster/machine/daemons.ts';
import { controlCgroup } from '../cluster/plan/layout.ts';
import type { BareCluster } from './cluster.ts';
import { caAddress, type Credentials } from './node-program.ts';
import { manifestOfRunningPods } from './objects.ts';

const patienceMs = 30_000;

/** Ends with the cluster. */
export async function startAuthority({ running, node }: BareCluster): Promise<Credentials> {
  const { layout, trees, bin } = running.machine;
  const dir = join(layout.stateDir, 'mesh');
  const [objects, caDir, tokens] = [join(dir, 'objects'), join(dir, 'ca'), join(dir, 'tokens.json')];
  await mkdir(objects, { recursive: true });
  await writeFile(join(objects, 'pods.yaml'), manifestOfRunningPods());
  const token = makeJoinToken(tokens, { type: 'node', node: node.name as NodeName });
  const tokenFile = join(dir, 'token');
  await writeFile(tokenFile, token, { mode: 0o600 });
  const flags = ['--objects', objects, '--ca-dir', caDir, '--listen', caAddress, '--tokens', tokens];
  const program = join(root, 'bin', 'mesh-ebpf');
  const argv = inCgroup(controlCgroup(trees.v2), [program, 'controller', ...flags]);
  await startRecorded(layout, 'mesh-ebpf-controller', argv, bin);
  const caRoot = join(caDir, 'ca-root.pem');
  await whenThere(caRoot);
  return { caRoot, tokenFile };
}

async function whenThere(file: string): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!existsSync(file)) {
    if (performance.now() > deadline) throw new Error(`the certificate authority made no ${file}`);
    await delay(50);
  }
}
