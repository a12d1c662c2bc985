import { expect, it } from '@jest/globals';
import { missingCapabilities } from '../../../../src/apps/node/capabilities.ts';

it.each([
  ['root', '000001ffffffffff', []],
  [
    'a container with the default capabilities',
    '00000000a80425fb',
    ['BPF', 'PERFMON', 'NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'],
  ],
  ['the DaemonSet’s pod', '000000c000281000', []],
  ['a pod in which only BPF was forgotten', '0000004000281000', ['BPF']],
])('of %s nothing, or each by name, is missing', (_who, mask, missing) => {
  expect(missingCapabilities(`Name:\tnode\nCapEff:\t${mask}\nCapBnd:\tffff\n`)).toEqual(missing);
});

it('of a process whose status says nothing everything is missing', () => {
  expect(missingCapabilities('')).toHaveLength(5);
});
