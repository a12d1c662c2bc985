/** Commands that the lab runs, not people: a node's kubelet, and the small programs its example pods are made of. */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { parseSocketAddress } from '../base/ip.ts';
import { serveBulk, transferBulk } from '../lab/app/bulk.ts';
import { serveEcho } from '../lab/app/echo.ts';
import { fetchHttp, serveHttp } from '../lab/app/http.ts';
import { runKubelet } from '../lab/kubelet/run-kubelet.ts';
import { pingEcho } from '../lab/app/ping.ts';
import { howEnded } from '../lab/plan/restart.ts';
import { createLogger } from '../telemetry/logger.ts';
import type { CommandContext } from './command.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { printJsonLine } from './output.ts';
import { printable } from './printable.ts';
import { parseCount, parseDuration } from './usage.ts';

export function addHiddenLabCommands(program: Command, context: CommandContext): void {
  addKubelet(program, context);
  const app = program
    .command('lab-app', { hidden: true })
    .description('small servers and clients for the pods of the lab');
  addServer(app, context, { name: 'http', port: 8080, serve: serveHttp });
  addServer(app, context, { name: 'echo', port: 7000, serve: serveEcho });
  addServer(app, context, { name: 'bulk', port: 9000, serve: serveBulk });
  addGet(app, context);
  addTransfer(app, context);
  addPing(app, context);
}

interface KubeletFlags {
  readonly node: string;
  readonly stateDir: string;
  readonly after?: number;
}

function addKubelet(program: Command, context: CommandContext): void {
  program
    .command('lab-kubelet', { hidden: true })
    .description('one node of the lab; started by lab up')
    .requiredOption('--node <name>', 'name of the node')
    .requiredOption('--state-dir <directory>', 'state of the lab')
    .addOption(new Option('--after <status>', 'exit status of the one before').argParser(parseCount))
    .action(
      context.action(async ({ node, stateDir, after }: KubeletFlags) => {
        const log = createLogger({ level: 'info', base: { node }, destination: process.stdout });
        const lastExit = after === undefined ? undefined : howEnded(after);
        await runKubelet({ node, stateDir, lastExit, log, signal: context.env.interrupted });
        return exitCodes.clean;
      }),
    );
}

interface Server {
  readonly name: string;
  readonly port: number;
  readonly serve: (port: number, log: (line: string) => void) => void;
}

function addServer(app: Command, context: CommandContext, { name, port, serve }: Server): void {
  app
    .command(name)
    .description(`serve ${name} until ended`)
    .addOption(new Option('--port <n>', 'where to listen').argParser(parseCount).default(port))
    .action(
      context.action(async (flags: { readonly port: number }) => {
        const screen = context.screen();
        serve(flags.port, (line) => screen.data(printable(line)));
        await interrupted(context.env.interrupted);
        return exitCodes.clean;
      }),
    );
}

const interrupted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

const withTimeout = (command: Command): Command =>
  command.addOption(
    new Option('--timeout <duration>', 'longest wait for each')
      .argParser(parseDuration)
      .default(10_000, '10s'),
  );

interface GetFlags {
  readonly count: number;
  readonly data?: string;
  readonly timeout: number;
}

function addGet(app: Command, context: CommandContext): void {
  const get = app
    .command('get')
    .description('ask an HTTP server, each time on a new connection; a line of JSON for each answer')
    .argument('<url>')
    .addOption(new Option('--count <n>', 'how often').argParser(parseCount).default(1))
    .option('--data <text>', 'send this');
  withTimeout(get).action(
    context.action(async ({ count, data, timeout }: GetFlags, [url = '']) => {
      const screen = context.screen();
      let code: ExitCode = exitCodes.clean;
      for (let i = 0; i < count && !context.env.interrupted.aborted; i++) {
        const result = await fetchHttp({ url, body: data, timeoutMs: timeout });
        printJsonLine(screen, result);
        if (!result.ok) code = exitCodes.findings;
      }
      return code;
    }),
  );
}

function addTransfer(app: Command, context: CommandContext): void {
  const transfer = app
    .command('transfer')
    .description('move data both ways at once with a bulk server, and prove it whole')
    .argument('<target>', 'HOST:PORT')
    .addOption(new Option('--megabytes <n>', 'each way').argParser(parseCount).default(200));
  withTimeout(transfer).action(
    context.action(async (flags: { megabytes: number; timeout: number }, [target = '']) => {
      const { host, port } = parseTarget(target);
      const result = await transferBulk(host, port, flags.megabytes, Math.max(flags.timeout, 120_000));
      printJsonLine(context.screen(), result);
      return result.ok ? exitCodes.clean : exitCodes.findings;
    }),
  );
}

interface PingFlags {
  readonly count: number;
  readonly megabytes: number;
  readonly timeout: number;
}

function addPing(app: Command, context: CommandContext): void {
  const ping = app
    .command('ping')
    .description('measure new connections, round trips and throughput with an echo server')
    .argument('<target>', 'HOST:PORT')
    .addOption(
      new Option('--count <n>', 'new connections, and ten times as many round trips')
        .argParser(parseCount)
        .default(200),
    )
    .addOption(new Option('--megabytes <n>', 'there and back').argParser(parseCount).default(100));
  withTimeout(ping).action(
    context.action(async ({ count, megabytes, timeout }: PingFlags, [target = '']) => {
      const result = await pingEcho({ ...parseTarget(target), count, megabytes, timeoutMs: timeout });
      printJsonLine(context.screen(), result);
      return result.ok ? exitCodes.clean : exitCodes.findings;
    }),
  );
}

/** A name or an address, with a port. */
function parseTarget(text: string): { readonly host: string; readonly port: number } {
  const named = /^([a-z0-9.-]+):(\d{1,5})$/i.exec(text);
  if (named?.[1] !== undefined) return { host: named[1], port: Number(named[2]) };
  try {
    const { ip, port } = parseSocketAddress(text);
    return { host: ip, port };
  } catch {
    throw new InvalidArgumentError('Give HOST:PORT.');
  }
}
