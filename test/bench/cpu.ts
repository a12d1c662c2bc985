/** What processes have used: CPU time from /proc/PID/stat, memory from /proc/PID/status. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** User and system time of all threads, seconds, summed over the processes. The kernel counts in ticks of 10 ms. */
export const cpuSeconds = (pids: readonly number[]): number =>
  sum(pids.map((pid) => parseCpuTicks(readFileSync(`/proc/${pid}/stat`, 'utf8')))) / ticksPerSecond;

/** Resident memory, bytes, summed over the processes. */
export const residentBytes = (pids: readonly number[]): number =>
  sum(pids.map((pid) => parseResidentBytes(readFileSync(`/proc/${pid}/status`, 'utf8'))));

/** Fields 14 and 15 (proc_pid_stat(5)); counted from the last parenthesis, as the name before it may hold anything. */
export function parseCpuTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

export function parseResidentBytes(status: string): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kilobytes === undefined) throw new Error('the process has no resident memory: it has ended');
  return Number(kilobytes) * 1024;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
