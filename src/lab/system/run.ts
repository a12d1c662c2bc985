/** Runs a tool of the host (ip, nft) to its end. Every failure is one error with what the tool said. */
import { spawn } from 'node:child_process';
import { MeshError } from '../../base/errors.ts';

/** Tools are looked up here, whatever PATH the caller has (`su` leaves out the sbin directories). */
export const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface RunOptions {
  /** Text for its standard input. */
  readonly input?: string;
}

/** @throws MeshError UNSUPPORTED when the tool is not installed, SYSCALL when it fails. */
export async function run(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<string> {
  const [command, ...args] = argv;
  const { code, stdout, stderr } = await finish(command, args, options.input ?? '');
  if (code === 0) return stdout;
  const reason = stderr.trim().split('\n').slice(0, 3).join('; ');
  throw new MeshError(
    'SYSCALL',
    `"${argv.join(' ')}" failed: ${reason === '' ? `exit code ${code}` : reason}`,
  );
}

interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function finish(command: string, args: readonly string[], input: string): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { PATH: systemPath }, stdio: 'pipe' });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', (cause) => {
      reject(new MeshError('UNSUPPORTED', `"${command}" could not be started: ${cause.message}`, { cause }));
    });
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    // A tool that ends without reading its input breaks the pipe; its exit code tells the story.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
