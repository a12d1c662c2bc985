import { describe, expect, it } from '@jest/globals';
import { cgroup2Mount, mountPoints, requireCgroup2 } from '../../../src/base/mounts.ts';

const hybrid = 'cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n';
const none = 'tmpfs /run tmpfs rw 0 0\n';

describe('where cgroup v2 is mounted', () => {
  it('is found beside v1', () => {
    expect(cgroup2Mount(hybrid)).toBe('/sys/fs/cgroup/unified');
  });

  it('is the host’s own mount, not that of a chroot listed before', () => {
    const chroot = 'cgroup2 /chroot/sys/fs/cgroup cgroup2 rw 0 0\n';
    expect(cgroup2Mount(`${chroot}${hybrid}`)).toBe('/sys/fs/cgroup/unified');
    expect(cgroup2Mount(chroot)).toBe('/chroot/sys/fs/cgroup');
  });

  it('may be nowhere, and then whoever needs it is told what to do', () => {
    expect(cgroup2Mount(none)).toBeUndefined();
    expect(() => requireCgroup2(none)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', hint: expect.stringContaining('mount -t cgroup2') }),
    );
  });
});

describe('the mount points of a type', () => {
  it('are all of them, in the table’s order, whatever is given as their device', () => {
    expect(mountPoints(`bpf /b bpf rw 0 0\n${none}x /a bpf rw 0 0\n`, 'bpf')).toEqual(['/b', '/a']);
    expect(mountPoints('', 'bpf')).toEqual([]);
  });
});
