import { describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MeshError, errorCodes } from '../../../src/base/errors.ts';
import type { CommandGroup } from '../../../src/cli/command.ts';
import { exitCodes } from '../../../src/cli/exit-codes.ts';
import { status } from './documents.ts';
import { labNode, run } from './harness.ts';

const throwing =
  (thrown: unknown): CommandGroup =>
  (program, context) => {
    program.command('break').action(context.action(() => Promise.reject(thrown as Error)));
  };

const labGroup: CommandGroup = (program, context) => {
  program.command('lab').action(
    context.action(async () => {
      context.screen().data('it runs');
      return await Promise.resolve(exitCodes.findings);
    }),
  );
};

const nestedGroup: CommandGroup = (program) => void program.command('lab').command('up');

describe('the command line', () => {
  it('shows its commands by task when called without any, and exits 2', async () => {
    const { code, out, err } = await run('');
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/Look at the mesh:\n +status/);
  });

  it('exits 0 when asked for help', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    expect(out).toMatch(/Exit status:[\s\S]*Start here:/);
  });

  it.each([
    ['conections', 'connections'],
    ['stauts', 'status'],
    ['maps lst', 'list'],
    ['status --nod x', '--node'],
  ])('guesses what "%s" should have been', async (line, guess) => {
    const { code, err } = await run(line);
    expect(code).toBe(2);
    expect(err).toMatch(new RegExp(`Did you mean .*${guess}`));
  });

  it('takes groups of commands from other parts, and their exit status', async () => {
    expect(await run('lab', { groups: [labGroup] })).toMatchObject({ code: 1, out: 'it runs\n' });
    expect((await run('--help', { groups: [labGroup] })).out).toMatch(/Run it:\n +lab/);
  });

  it('tells an error by what, why, next and code', async () => {
    const error = new MeshError('NETNS', 'cannot enter shop/web', {
      cause: new Error('EPERM'),
      hint: 'run as root',
    });
    const { code, err } = await run('break', { groups: [throwing(error)] });
    expect(code).toBe(3);
    expect(err).toBe(
      `error: cannot enter shop/web\n  why:  EPERM\n  next: run as root\n  code: NETNS (${errorCodes.NETNS})\n`,
    );
  });

  it('shows where a bug is, and calls it one', async () => {
    const { code, err } = await run('break', { groups: [throwing(new TypeError('x is not a function'))] });
    expect(code).toBe(3);
    expect(err).toMatch(/INTERNAL \(a bug in mesh-ebpf\)\nTypeError: x is not a function\n +at /);
  });

  it('does not let an error message control the terminal', async () => {
    const error = new MeshError('NETNS', 'pod "\u001b]0;owned\u0007"', { hint: '\u009b2J' });
    const { err } = await run('break', { groups: [throwing(error)] });
    // oxlint-disable-next-line no-control-regex -- the very characters that must not come through
    expect(err).not.toMatch(/[\u001b\u0007\u009b]/);
  });

  it('refuses a colour mode it does not know', async () => {
    expect((await run('errors --color sometimes')).code).toBe(2);
    expect((await run('errors --color always')).out).toContain('\u001b[');
    expect((await run('errors')).out).not.toContain('\u001b[');
  });
});

describe('mesh-ebpf errors', () => {
  it('explains one code, in any case, or all', async () => {
    expect((await run('errors dial_failed')).out).toMatch(
      /DIAL_FAILED +the TCP connection to the next hop failed/,
    );
    const all = await run('errors -o name');
    expect(all.out.trim().split('\n')).toEqual(Object.keys(errorCodes));
  });

  it('guesses which code was meant', async () => {
    const { code, err } = await run('errors DIAL');
    expect(code).toBe(2);
    expect(err).toMatch(/did you mean DIAL_FAILED/);
  });
});

describe('mesh-ebpf version', () => {
  it('needs no node', async () => {
    const alone = await run('version');
    expect(alone).toMatchObject({ code: 0, out: 'mesh-ebpf 0.1.0 (Node 24.0.0, Linux 6.18.0, x64)\n' });
    expect((await run('version --client')).requests).toEqual([]);
  });

  it('points out a node of another version', async () => {
    const nodes = [labNode('node-a', { '/v1/status': status({ version: '0.2.0' }) })];
    const { out, err } = await run('version', { nodes });
    expect(out).toMatch(/node node-a: 0\.2\.0/);
    expect(err).toMatch(/node-a .*differ/);
    expect(JSON.parse((await run('version -o json', { nodes })).out)).toMatchObject({
      client: { version: '0.1.0' },
      nodes: [{ node: 'node-a', version: '0.2.0' }],
    });
  });
});

/** What bash would offer after these words. */
async function bashOffers(...words: readonly string[]): Promise<readonly string[]> {
  const { out } = await run('completion bash');
  const script = `${out}
COMP_WORDS=(mesh-ebpf ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}
_mesh_ebpf; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n');
}

describe('mesh-ebpf completion', () => {
  it('offers commands, subcommands, options and values in bash', async () => {
    expect(await bashOffers('conn')).toEqual(['connections']);
    expect(await bashOffers('maps', '')).toEqual(expect.arrayContaining(['list', 'dump', 'get']));
    expect(await bashOffers('connections', '--de')).toEqual(['--denied']);
    expect(await bashOffers('workloads', '-o', '')).toEqual(['table', 'wide', 'json', 'yaml', 'name']);
    expect(await bashOffers('completion', 'z')).toEqual(['zsh']);
    expect(await bashOffers('maps', 'dump', '--wh')).toEqual(['--where']);
  });

  it.each(['bash', 'zsh', 'fish'])('prints a script for %s and asks no node', async (shell) => {
    const { code, out, err, requests } = await run(`completion ${shell}`);
    expect({ code, err, requests }).toEqual({ code: 0, err: '', requests: [] });
    for (const word of ['workloads', 'uninstall', 'denied']) expect(out).toContain(word);
  });

  it('knows the commands that other parts added', async () => {
    expect((await run('completion bash', { groups: [nestedGroup] })).out).toContain("'lab up'");
  });

  it('refuses a shell it does not know', async () => {
    expect((await run('completion csh')).code).toBe(2);
  });
});

/** What kubectl would offer after these words. */
const offers = async (...words: readonly string[]): Promise<readonly string[]> =>
  (await run(['complete', '--', ...words])).out.trim().split('\n');

const bin = (name: string): string => fileURLToPath(new URL(`../../../bin/${name}`, import.meta.url));

describe('kubectl mesh', () => {
  const asPlugin = { env: { programName: 'kubectl mesh' } } as const;
  it('shows in its help what one types', async () => {
    expect((await run('--help', asPlugin)).out).toMatch(
      /Usage: kubectl mesh [^]*Start here: kubectl mesh status/,
    );
    expect((await run('maps dump --help', asPlugin)).out).toMatch(
      /Usage: kubectl mesh maps dump[^]*\$ kubectl mesh maps dump pods/,
    );
    expect((await run('maps dump --help')).out).toMatch(/\$ mesh-ebpf maps dump pods/);
  });

  it('completes commands, options and values as kubectl asks for them', async () => {
    expect(await offers('conn')).toEqual([expect.stringMatching(/^connections\tlist live/), ':4']);
    expect(await offers('maps', 'du')).toEqual([expect.stringMatching(/^dump\t/), ':4']);
    expect(await offers('workloads', '--node', 'status', '-o', 'j')).toEqual(['json', ':4']);
    expect(await offers('workloads', '--kubeconfig', '')).toEqual([':0']);
    expect(await offers('workloads', '--names')).toEqual([expect.stringMatching(/^--namespace\t/), ':4']);
    expect((await offers('')).join()).not.toMatch(/inspect|complete\t/);
  });

  it('is the same program by another name, and completes from the same table', () => {
    expect(readFileSync(bin('kubectl-mesh'), 'utf8')).toMatch(
      /MESH_EBPF_PROGRAM='kubectl mesh' exec .*\/mesh-ebpf/,
    );
    for (const name of ['kubectl-mesh', 'kubectl_complete-mesh']) {
      expect(statSync(bin(name)).mode & 0o111).toBe(0o111);
    }
  });
});
