/** What a look at the host shows of a cluster, found by other means than `down` uses. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { nodeDirectories } from '../plan/layout.ts';

export function hostTraces(): readonly string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n').filter(isOurs);
  const routes = readFileSync('/proc/net/route', 'utf8').split('\n').filter(isOurs);
  const links = readdirSync('/sys/class/net').filter(isOurs);
  const commands = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(commandLine)
    .filter(isOurs);
  const directories = nodeDirectories.filter((path) => existsSync(path));
  return [...mounts, ...routes, ...links, ...commands, ...directories].toSorted();
}

const isOurs = (text: string): boolean => /mesh-cluster|mesh-ebpf[-/]cluster/.test(text);

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // It ended meanwhile.
  }
}
