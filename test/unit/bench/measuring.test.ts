import { describe, expect, it } from '@jest/globals';
import { parseCpuTicks, parseResidentBytes } from '../../bench/cpu.ts';
import { parseBulk } from '../../bench/rows/bulk.ts';

describe('the CPU time of a process', () => {
  it('is user plus system time, also when its name holds spaces and parentheses', () => {
    const stat = '77 (a (b) c) S 1 77 77 0 -1 4194560 5 6 7 8 1200 34 9 9 20 0 4 0 300 10 20';
    expect(parseCpuTicks(stat)).toBe(1234);
  });
});

describe('the memory of a process', () => {
  it('is its resident size in bytes', () => {
    expect(parseResidentBytes('VmPeak:\t  99 kB\nVmRSS:\t  2048 kB\nThreads:\t1\n')).toBe(2 * 1024 * 1024);
  });

  it('is refused, not taken for zero, when the process has ended', () => {
    expect(() => parseResidentBytes('Name:\tgone\nState:\tZ (zombie)\n')).toThrow('has ended');
  });
});

describe('a bulk transfer', () => {
  it('counts what arrived, in units of ten', () => {
    const text = JSON.stringify({ end: { sum_received: { bytes: 5e9, bits_per_second: 2e10 } } });
    expect(parseBulk(text)).toEqual({ gigabits: 20, gigabytes: 5 });
  });

  it('fails with the words of iperf3', () => {
    expect(() => parseBulk('{"error":"unable to connect to server"}')).toThrow('unable to connect to server');
  });

  it('fails when nothing arrived', () => {
    const text = JSON.stringify({ end: { sum_received: { bytes: 0, bits_per_second: 0 } } });
    expect(() => parseBulk(text)).toThrow('nothing arrived');
  });
});
