/** The machine a kernel boots on, as qemu's arguments. Pure. */

export interface MachineSpec {
  readonly vmlinux: string;
  readonly initrd: string;
  /** Absolute: where the guest writes, by the same path. Everything else of the host it can only read. */
  readonly results: string;
  readonly consoleLog: string;
  readonly cpus: number;
  /** For the guest's scripts: environment of its process 1. Words of `[A-Za-z0-9/._+-]`. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Standard output is the guest's second serial line. */
export const qemuArguments = (spec: MachineSpec): readonly string[] =>
  [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    // Never KVM: where machines are nested it may open and then hang.
    ['-M', 'pc', '-accel', 'tcg,thread=multi', '-cpu', processor, '-smp', `${spec.cpus}`, '-m', '2G'],
    ['-serial', `file:${spec.consoleLog}`, '-serial', 'stdio'],
    ['-device', 'virtio-rng-pci'],
    shared('host', '/', ',readonly=on'),
    shared('results', spec.results, ''),
    ['-kernel', spec.vmlinux, '-initrd', spec.initrd],
    ['-append', commandLine(spec.environment)],
  ].flat();

/**
 * cx16: qemu 7.2 emulates cmpxchg16b wrongly. The others cost an emulator more than they are worth: memory copied byte by byte
 * (erms), five levels of page tables (la57), and a switch at each access to a user's memory (smap).
 */
const processor = 'max,cx16=off,erms=off,la57=off,smap=off,smep=off';

const shared = (tag: string, path: string, more: string): string[] => [
  '-fsdev',
  `local,id=${tag},path=${path},security_model=none,multidevs=remap${more}`,
  '-device',
  `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`,
];

/**
 * What is not the kernel's own is handed to process 1. A kernel that is in trouble is to end, and not to go on; but that its
 * timer ticks is not tried at its start (no_timer_check), where a busy host may not give it the moment that this takes.
 */
function commandLine(environment: MachineSpec['environment']): string {
  const own = Object.entries(environment).map(([name, value]) => `${name}=${plainWord(value)}`);
  const kernels = [
    'console=ttyS0 loglevel=5 panic=-1 oops=panic nowatchdog',
    'no_timer_check init_on_alloc=0 mitigations=off nokaslr random.trust_cpu=on audit=0 apparmor=0 selinux=0',
  ];
  return [...kernels, ...own].join(' ');
}

function plainWord(word: string): string {
  if (/^[\w/.+-]+$/.test(word)) return word;
  throw new Error(`"${word}" cannot be said on a kernel's command line: use a path without blanks`);
}
