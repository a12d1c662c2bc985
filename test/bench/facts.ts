/** When and where a run took place: without these its figures mean nothing. */
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import packageJson from '../../package.json' with { type: 'json' };
import { root } from './lab.ts';
import { type Argv, output } from './process.ts';

/** Sentences by what they are about, in the order in which they are shown. */
export type Facts = Readonly<Record<string, string>>;

export async function gatherFacts(ztunnel: string | undefined): Promise<Facts> {
  const iperf = await firstLine(['iperf3', '--version']);
  const haproxy = (await firstLine(['haproxy', '-v'])).replace(/ - .*/, '');
  const peer = ztunnel === undefined ? 'no ztunnel' : `ztunnel ${await ztunnelVersion(ztunnel)}`;
  const versions = `${await ownVersions()}; ${haproxy}; ${peer}; ${iperf.replace(/ \(.*/, '')}`;
  return { ...machineFacts(), versions };
}

/** The project's, and that of what it runs on. */
export async function ownVersions(): Promise<string> {
  const commit = await firstLine(['git', '-C', root, 'rev-parse', '--short', 'HEAD']);
  const { node, openssl } = process.versions;
  return `mesh-ebpf ${packageJson.version} (${commit}), Node v${node}, OpenSSL ${openssl}`;
}

export function machineFacts(): Facts {
  return {
    date: new Date()
      .toISOString()
      .replace('T', ' ')
      .replace(/:\d\d\..*/, ' UTC'),
    machine: `${cpus().length} x ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB, ${distribution()}`,
    kernel: release(),
    load: `${loadavg()[0]?.toFixed(2)} at the start`,
  };
}

async function ztunnelVersion(path: string): Promise<string> {
  const text = await output([path, 'version'], 5000).catch(() => '');
  return /GitRevision:"?([0-9a-f]{7,8})/.exec(text)?.[1] ?? 'of unknown version';
}

const firstLine = async (argv: Argv): Promise<string> =>
  (await output(argv, 10_000).catch(() => 'unknown')).split('\n')[0]?.trim() ?? '';

function distribution(): string {
  const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  return name ?? 'unknown distribution';
}
