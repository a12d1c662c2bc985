/** Whom `explain`, `why` and `policy test` ask: `--files`, or the nodes chosen. */
import { type Command, Option } from 'commander';
import { MeshError } from '../../base/errors.ts';
import { parseTrustDomain } from '../../model/identity.ts';
import { type MeshConfig, serviceKey } from '../../model/mesh.ts';
import type { CommandContext } from '../command.ts';
import type { NodeSelection } from '../nodes.ts';
import { meshOfFiles } from '../offline/mesh-of-files.ts';
import { readFiles } from '../offline/read-files.ts';
import { parseName } from '../usage.ts';
import { type ConnectionExplainer, fileExplainer } from './explainer.ts';
import { nodeExplainer } from './node-explainer.ts';

export interface WhomOptions extends NodeSelection {
  readonly files?: readonly string[];
  readonly rootNamespace?: string;
  readonly trustDomain?: string;
}

const aboutNodes = ['node', 'socket', 'kubeconfig', 'context'];

/** `--files`, and what files alone do not say. */
export const withFiles = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '-f, --files <path>',
        'ask no node: judge by the objects in this file, this directory, or - for standard input; may be repeated',
      )
        .argParser((path, before: readonly string[] | undefined) => [...(before ?? []), path])
        .conflicts(aboutNodes),
    )
    .addOption(
      new Option(
        '--root-namespace <name>',
        'with --files: whose policies apply everywhere (default: istio-system)',
      ).argParser(parseName),
    )
    .option('--trust-domain <name>', 'with --files: of all identities (default: cluster.local)');

/** @throws MeshError INVALID_MANIFEST with every problem of every file */
export async function whomToAsk(
  { env, screen }: CommandContext,
  options: WhomOptions,
): Promise<ConnectionExplainer> {
  const { files } = options;
  if (files === undefined) {
    refuseFileOptions(options);
    return await nodeExplainer(env, options);
  }
  const mesh = meshOfFiles(await readFiles(env, files), configOf(options));
  for (const note of mesh.notes) screen().hint(note);
  return fileExplainer(mesh);
}

/** @throws MeshError INVALID_ARGUMENT for settings that a running mesh has by itself */
export function refuseFileOptions({
  rootNamespace,
  trustDomain,
}: Pick<WhomOptions, 'rootNamespace' | 'trustDomain'>): void {
  if (rootNamespace === undefined && trustDomain === undefined) return;
  throw new MeshError('INVALID_ARGUMENT', '--root-namespace and --trust-domain go with --files only', {
    hint: 'a node knows its own',
  });
}

export const configOf = ({
  rootNamespace = 'istio-system',
  trustDomain = 'cluster.local',
}: Pick<WhomOptions, 'rootNamespace' | 'trustDomain'>): MeshConfig => ({
  trustDomain: parseTrustDomain(trustDomain),
  clusterDomain: 'cluster.local',
  clusterId: 'files',
  rootNamespace,
  clusterDns: [{ type: 'service', service: serviceKey('kube-system', 'kube-dns') }],
});
