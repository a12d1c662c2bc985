/** `bin/mesh-ebpf`, run the way a user runs it. */
import { PodProcess, type Finished } from './pod-process.ts';

export const program = new URL('../../../bin/mesh-ebpf', import.meta.url).pathname;
const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Of compiled code, where `make test-kernels` keeps one. */
const compileCache = process.env['NODE_COMPILE_CACHE'];
export const environment = {
  PATH: systemPath,
  HOME: '/root',
  ...(compileCache !== undefined && { NODE_COMPILE_CACHE: compileCache }),
};

export interface CliOptions {
  readonly stdin?: string;
}

export async function cli(args: readonly string[], { stdin = '' }: CliOptions = {}): Promise<Finished> {
  const running = new PodProcess([program, ...args], environment);
  running.child.stdin.end(stdin);
  return await running.finished;
}

/** The same for a command that must go well. @throws Error with what it said */
export async function cliOk(args: readonly string[], options?: CliOptions): Promise<string> {
  const { code, stdout, stderr } = await cli(args, options);
  if (code === 0) return stdout;
  throw new Error(`mesh-ebpf ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`);
}
