#!/usr/bin/env node
/** Entry point: composes the command line, turns signals into a request to stop, and sets the exit code. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findCniPlugin, removeCniPlugin } from './agent/cni/installer.ts';
import { findLeftoverFiles, removeLeftoverFiles } from './agent/leftover-files.ts';
import { findLeftoverRules, removeLeftoverRules } from './agent/leftover-rules.ts';
import { addCaCommands } from './apps/ca-commands.ts';
import { addProcessCommands } from './apps/commands.ts';
import { readEnvironment } from './apps/config/environment.ts';
import { addDemoCommand } from './apps/demo/demo.ts';
import { addInstallCommand } from './apps/install/commands.ts';
import { uninstallByCommand } from './apps/install/uninstall-command.ts';
import { addLabCommands } from './cli/lab.ts';
import { runCli } from './cli/program.ts';
import { systemEnv } from './cli/system-env.ts';
import { loadNative } from './native/load.ts';
import packageJson from '../package.json' with { type: 'json' };

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
// Output into a pipe that was closed (`| head`) is no reason for a stack trace.
process.stdout.on('error', () => process.exit(0));

const environment = readEnvironment();
/** Beside the sources or the bundle as they are built, or beside the bundle as it is installed. */
const example = (name: string): string => fileURLToPath(new URL(`../examples/${name}`, import.meta.url));

const built = (path: string, name: string): string =>
  [`../build/${path}/${name}`, `./${name}`]
    .map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)))
    .find((candidate) => existsSync(candidate)) ?? name;
const objectPath = built('bpf', 'mesh.bpf.o');
const cniDirectories = {
  confDir: environment.variables['CNI_CONF_DIR'] ?? '/etc/cni/net.d',
  binDir: environment.variables['CNI_BIN_DIR'] ?? '/opt/cni/bin',
};
const stateDirectories = { run: '/run/mesh-ebpf', state: '/var/lib/mesh-ebpf' };

const env = systemEnv({
  programName: environment.variables['MESH_EBPF_PROGRAM'] === 'kubectl mesh' ? 'kubectl mesh' : 'mesh-ebpf',
  version: packageJson.version,
  variables: environment.variables,
  path: environment.path,
  loadNative,
  objectPath,
  cleaners: [
    {
      name: 'rules and routes of pods',
      find: findLeftoverRules,
      remove: (others) => removeLeftoverRules(loadNative(), others),
    },
    {
      name: 'CNI plugin',
      find: () => findCniPlugin(cniDirectories),
      remove: () => removeCniPlugin(cniDirectories),
    },
    {
      name: 'sockets and snapshot',
      find: () => findLeftoverFiles(stateDirectories),
      remove: () => removeLeftoverFiles(stateDirectories),
    },
  ],
  interrupted: stop.signal,
  uninstallCluster: async (options) => await uninstallByCommand(env, options),
});
const program: readonly [string, ...string[]] = [
  process.execPath,
  ...process.execArgv,
  process.argv[1] ?? '',
];
process.exitCode = await runCli(process.argv.slice(2), env, [
  addProcessCommands({
    environment: environment.variables,
    stop: stop.signal,
    objectPath,
    cniPluginPath: built('cni', 'mesh-ebpf-cni'),
    loadNative,
  }),
  addInstallCommand,
  addCaCommands,
  addLabCommands({ program }),
  addDemoCommand({
    program,
    manifests: example('shop'),
    policies: example('policy'),
    sameNode: example('same-node'),
  }),
]);
// What was written into a pipe may still be on its way. After that, timers and sockets of libraries must not keep a
// command alive that has finished.
process.stdout.write('', () => process.stderr.write('', () => process.exit()));
