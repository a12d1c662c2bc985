/** `lab apply`: checks manifests against the running lab and stores what they describe, all of it or nothing. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { MeshError } from '../../base/errors.ts';
import type { SourcedObject } from '../../kube/objects.ts';
import { parseManifests } from '../../kube/parse-manifests.ts';
import { formatProblem } from '../../kube/problem.ts';
import type { Problem } from '../../kube/problem.ts';
import { nodesOf, requireLab } from '../lab-file.ts';
import { admit } from '../plan/admit.ts';
import type { Admission, Admitted } from '../plan/admit.ts';
import type { Leases } from '../plan/allocate.ts';
import type { Objects } from '../plan/objects.ts';
import { writeFileAtomically } from '../system/atomic-file.ts';
import { readManifestFiles } from '../system/manifest-files.ts';
import { ObjectStore } from '../system/object-store.ts';
import type { LabNode } from '../topology.ts';
import type { LabContext } from './context.ts';

/** @throws MeshError INVALID_MANIFEST with every problem of every file, one a line. */
export async function readManifests(paths: readonly string[]): Promise<readonly SourcedObject[]> {
  const { objects, errors } = parseManifests(await readManifestFiles(paths), { strict: true });
  refuseErrors(errors);
  return objects;
}

export async function applyFiles(
  context: LabContext,
  paths: readonly string[],
): Promise<readonly Admitted[]> {
  const state = await requireLab(context.layout);
  return applyManifests(context, await readManifests(paths), nodesOf(state));
}

/** @throws MeshError INVALID_MANIFEST; then nothing is changed. */
export async function applyManifests(
  context: LabContext,
  manifests: readonly SourcedObject[],
  nodes: readonly LabNode[],
): Promise<readonly Admitted[]> {
  const leases = await readLeases(context);
  let admission: Admission = { admitted: [], leases, problems: [] };
  await new ObjectStore(context.layout).update((existing) => {
    admission = admitManifests(context, manifests, { existing, nodes, leases });
    refuseErrors(admission.problems);
    return {
      write: admission.admitted.filter(({ action }) => action !== 'unchanged').map(({ object }) => object),
      remove: [],
    };
  });
  await writeFileAtomically(context.layout.leases, `${JSON.stringify(admission.leases)}\n`);
  admission.problems.forEach((problem) => context.progress(formatProblem(problem)));
  return admission.admitted;
}

interface Present {
  readonly existing: Objects;
  readonly nodes: readonly LabNode[];
  readonly leases: Leases;
}

const admitManifests = (
  context: LabContext,
  manifests: readonly SourcedObject[],
  present: Present,
): Admission =>
  admit({ ...present, manifests, now: new Date(context.clock.now()).toISOString(), newUid: randomUUID });

async function readLeases(context: LabContext): Promise<Leases> {
  const text = await readFile(context.layout.leases, 'utf8').catch(() => '{}');
  return JSON.parse(text) as Leases;
}

function refuseErrors(problems: readonly Problem[]): void {
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new MeshError('INVALID_MANIFEST', errors.map(formatProblem).join('\n'));
}
