// Links: attached, replaced, pinned, detached, and what the kernel tells about them and their programs.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { BpfObject, Fd } from '../../src/native/binding.ts';
import { native } from './support/addon.ts';
import {
  connectFromCgroup,
  makeCgroup,
  makeNetns,
  mountBpfFs,
  type Netns,
  type Place,
} from './support/kernel-places.ts';
import { expectNativeError } from './support/native-error.ts';
import { compileSubject, FdBag, type Subject } from './support/subject.ts';

const attachConnect4 = 10; // BPF_CGROUP_INET4_CONNECT
const attachSkLookup = 36; // BPF_SK_LOOKUP
const linkTypeCgroup = 3; // BPF_LINK_TYPE_CGROUP
const linkTypeNetns = 5; // BPF_LINK_TYPE_NETNS
const typeSockAddr = 18; // BPF_PROG_TYPE_CGROUP_SOCK_ADDR

let subject: Subject;
let object: BpfObject;
let bpffs: Place;
let cgroup: Place;
let netns: Netns;
const fds = new FdBag();

beforeAll(() => {
  subject = compileSubject();
  bpffs = mountBpfFs();
  netns = makeNetns();
});
afterAll(() => {
  netns.remove();
  bpffs.remove();
  subject.remove();
});
beforeEach(() => {
  cgroup = makeCgroup();
  object = subject.open();
  object.load();
});
afterEach(() => {
  object.close();
  fds.closeAll();
  cgroup.remove();
});

const program = (name: string): Fd => fds.keep(object.programFd(name));
const attach = (name: string): Fd =>
  fds.keep(native.linkCgroup(program(name), fds.keep(native.openPath(cgroup.path)), attachConnect4));
const canConnect = (): boolean => connectFromCgroup(cgroup.path, '127.0.0.1', 9);

describe('a link to a cgroup', () => {
  it('runs its program for that cgroup until it is closed', () => {
    const link = native.linkCgroup(
      program('refuse_connect'),
      fds.keep(native.openPath(cgroup.path)),
      attachConnect4,
    );
    expect(canConnect()).toBe(false);
    native.closeFd(link);
    expect(canConnect()).toBe(true);
  });

  it('is described by the kernel', () => {
    const link = attach('report_connect');
    expect(native.linkInfo(link)).toEqual({
      id: expect.any(Number),
      programId: native.programInfo(program('report_connect')).id,
      type: linkTypeCgroup,
      attachType: attachConnect4,
      targetId: statSync(cgroup.path, { bigint: true }).ino,
    });
    expect(native.listLinks()).toContainEqual(native.linkInfo(link));
  });

  it('changes its program without a gap', () => {
    const link = attach('report_connect');
    expect(canConnect()).toBe(true);
    native.linkUpdate(link, program('refuse_connect'));
    expect(canConnect()).toBe(false);
    expect(native.linkInfo(link).programId).toBe(native.programInfo(program('refuse_connect')).id);
  });

  it('lives on when pinned, and ends when detached', () => {
    const path = join(bpffs.path, 'link');
    const link = native.linkCgroup(
      program('refuse_connect'),
      fds.keep(native.openPath(cgroup.path)),
      attachConnect4,
    );
    native.pin(link, path);
    native.closeFd(link);
    expect(canConnect()).toBe(false);
    const again = fds.keep(native.openPinned(path));
    native.linkDetach(again);
    expect(canConnect()).toBe(true);
    expect(native.linkInfo(again).targetId).toBe(0n);
  });

  it('takes programs made for that hook only', async () => {
    const link = attach('report_connect');
    await expectNativeError(() => native.linkUpdate(link, program('pass_lookup')), 'EINVAL');
    const target = fds.keep(native.openPath(cgroup.path));
    await expectNativeError(
      () => native.linkCgroup(program('pass_lookup'), target, attachConnect4),
      'EINVAL',
    );
    await expectNativeError(
      () => native.linkCgroup(program('report_connect'), fds.keep(native.openPath('/etc')), attachConnect4),
      'EBADF',
    );
  });
});

describe('a link to a network namespace', () => {
  it('is described by the kernel with the namespace’s inode', () => {
    const link = fds.keep(native.linkNetns(program('pass_lookup'), netns.path, attachSkLookup));
    expect(native.linkInfo(link)).toMatchObject({
      type: linkTypeNetns,
      attachType: attachSkLookup,
      targetId: native.netnsId(netns.path).inode,
    });
  });

  it('needs a namespace', async () => {
    const lookup = program('pass_lookup');
    await expectNativeError(() => native.linkNetns(lookup, '/nonexistent', attachSkLookup), 'ENOENT');
    await expectNativeError(() => native.linkNetns(lookup, '/etc/passwd', attachSkLookup), 'EINVAL');
  });
});

describe('a pin', () => {
  it('keeps a map and its contents', () => {
    const path = join(bpffs.path, 'map');
    const map = fds.keep(object.mapFd('plain_hash'));
    native.pin(map, path);
    expect(native.mapInfo(fds.keep(native.openPinned(path)))).toEqual(native.mapInfo(map));
  });

  it('is made once, and only in a BPF file system', async () => {
    const map = fds.keep(object.mapFd('plain_hash'));
    native.pin(map, join(bpffs.path, 'once'));
    await expectNativeError(() => native.pin(map, join(bpffs.path, 'once')), 'EEXIST');
    await expectNativeError(() => native.pin(map, '/tmp/mebpf-nat-no-bpffs'), 'EPERM');
    await expectNativeError(() => native.openPinned(join(bpffs.path, 'missing')), 'ENOENT');
  });
});

describe('a program', () => {
  it('is described by the kernel, with its maps', () => {
    const info = native.programInfo(program('report_connect'));
    expect(info).toMatchObject({
      name: 'report_connect',
      type: typeSockAddr,
      tag: expect.stringMatching(/^[0-9a-f]{16}$/),
      runCount: expect.any(BigInt),
      runTimeNs: expect.any(BigInt),
    });
    expect(info.mapIds).toContain(native.mapInfo(fds.keep(object.mapFd('events'))).id);
    expect(native.listPrograms()).toContainEqual(info);
  });

  it('has its runs counted while somebody asks the kernel for that', () => {
    attach('report_connect');
    const run = (): bigint => {
      connectFromCgroup(cgroup.path, '127.0.0.1', 9);
      return native.programInfo(program('report_connect')).runCount;
    };
    const counting = native.enableRunStats();
    const first = run();
    expect(first).toBeGreaterThan(0n);
    expect(run()).toBeGreaterThan(first);
    expect(native.programInfo(program('report_connect')).runTimeNs).toBeGreaterThan(0n);
    native.closeFd(counting);
  });

  it('has the same tag whenever it is the same program', () => {
    const other = subject.open();
    other.load();
    const tag = native.programInfo(fds.keep(other.programFd('refuse_connect'))).tag;
    expect(tag).toBe(native.programInfo(program('refuse_connect')).tag);
    other.close();
  });

  it('is told apart from maps and links', async () => {
    const map = fds.keep(object.mapFd('plain_hash'));
    await expectNativeError(() => native.programInfo(map), 'ERR_ARGUMENT');
    await expectNativeError(() => native.linkInfo(map), 'ERR_ARGUMENT');
  });
});
