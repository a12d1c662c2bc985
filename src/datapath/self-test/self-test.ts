/**
 * Tries new programs out before they are put in force: on this kernel, with maps of their own, real connections are made
 * through them, and must end where they should. Their links have no pins and see this process's sockets only; the
 * connections are in a namespace without a name. So nobody else notices, and nothing is left, however this ends.
 *
 * The program of accelerated connections is not among them: it has a trial of its own (`../acceleration/trial.ts`), and
 * works where that passes only.
 */
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { BpfObject, Fd, NativeBinding } from '../../native/binding.ts';
import { bpfCall } from '../bpf-error.ts';
import { cgroupHooks, podHook } from '../hooks.ts';
import { attachLink, cgroupTarget } from '../links.ts';
import { allMapSpecs, type MapSizes } from '../maps.ts';
import { type CaseDeps, createCases, type Family, workingFamilies } from './cases.ts';
import { TestPlace } from './test-place.ts';

export interface SelfTestDeps {
  readonly native: NativeBinding;
  readonly objectPath: string;
  /** The one that this process is in. */
  readonly cgroup: string;
  readonly log: Logger;
}

const tinySizes: MapSizes = { pods: 4, destinations: 16, flows: 64, egress: 4, verdicts: 64 };

/**
 * What goes wrong before the programs are attached is not theirs; from then on all is.
 * @throws MeshError BPF_LOAD; BPF_UNTRIED if there can be no test here; BPF_SELF_TEST that names what came out otherwise
 */
export async function selfTest({ native, objectPath, cgroup, log }: SelfTestDeps): Promise<void> {
  const startedAt = performance.now();
  const object = bpfCall('BPF_LOAD', `opening ${objectPath}`, () => native.openObject(objectPath));
  const links: Fd[] = [];
  try {
    load(object, objectPath);
    const place = await TestPlace.make(native).catch((thrown) => {
      throw untried(asMeshError(thrown));
    });
    try {
      const families = await familiesOf(place);
      if (!families.includes(6)) log.info({}, 'no IPv6 on this node: the programs are not tried with it');
      await asFailure(async () => {
        links.push(...attach(native, object, cgroup, place.netns));
        const ownCgroupId = cgroupTarget(cgroup).id;
        const failures = await runCases({ native, object, place, families, ownCgroupId });
        if (failures.length > 0) throw failed(failures);
      });
    } finally {
      await place.close();
    }
  } finally {
    for (const link of links) native.closeFd(link);
    object.close();
  }
  log.debug(
    { tookMs: Math.round(performance.now() - startedAt) },
    'the programs passed their test on this kernel',
  );
}

/** Without the programs: there is nothing to see of them where nothing works. */
async function familiesOf(place: TestPlace): Promise<readonly Family[]> {
  const families = await workingFamilies(place).catch((thrown) => {
    throw untried(asMeshError(thrown));
  });
  if (families.includes(4)) return families;
  throw untried(new MeshError('NETNS', 'connections do not work in a namespace of the trial’s own'));
}

async function asFailure(action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (thrown) {
    const error = asMeshError(thrown);
    throw error.code === 'BPF_SELF_TEST' ? error : failed([`the trial broke off: ${error.message}`], error);
  }
}

function load(object: BpfObject, objectPath: string): void {
  for (const { name, entries } of allMapSpecs) {
    const size = entries(tinySizes);
    if (size > 0) object.setMaxEntries(name, size);
  }
  bpfCall('BPF_LOAD', `loading ${objectPath}`, () => object.load());
}

function attach(native: NativeBinding, object: BpfObject, cgroup: string, netns: string): readonly Fd[] {
  const inode = native.netnsId(netns).inode;
  const targets = [
    ...cgroupHooks.map((hook) => [hook, cgroupTarget(cgroup)] as const),
    [podHook, { type: 'netns', path: netns, id: inode }] as const,
  ];
  return targets.map(([hook, target]) => {
    const program = object.programFd(hook.program);
    try {
      return attachLink(native, hook, target, program);
    } finally {
      native.closeFd(program);
    }
  });
}

async function runCases(deps: CaseDeps): Promise<readonly string[]> {
  const failures: string[] = [];
  const cases = await createCases(deps);
  try {
    for (const { name, expected, run } of cases.all) {
      const outcome = await run();
      if (outcome !== expected) failures.push(`${name}: ${outcome} instead of ${expected}`);
    }
  } finally {
    cases.close();
  }
  return failures;
}

const failed = (failures: readonly string[], cause?: MeshError): MeshError =>
  new MeshError(
    'BPF_SELF_TEST',
    `the BPF programs failed their test on this kernel: ${failures.join('; ')}`,
    {
      hint: 'report it with the output of `mesh-ebpf doctor`; until then run the version before, whose programs are in force',
      ...(cause !== undefined && { cause }),
    },
  );

const untried = (cause: MeshError): MeshError =>
  new MeshError('BPF_UNTRIED', `the BPF programs could not be tried out on this kernel: ${cause.message}`, {
    hint: 'the trial needs a network namespace of its own: see that the node program may make one (sysctl user.max_net_namespaces), and start it again',
    cause,
  });
