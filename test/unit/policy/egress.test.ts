/** What NamespaceAccess objects mean, in examples. */
import { describe, expect, it } from '@jest/globals';
import { parseIp } from '../../../src/base/ip.ts';
import type { NamespaceAccess } from '../../../src/model/access.ts';
import { egressVerdict } from '../../../src/policy/egress.ts';
import { accessLookup, defaultVerdict } from '../../../src/policy/namespace-access.ts';
import { access, rule } from '../../support/egress.ts';
import { meshOf, pod, service } from '../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.244.1.2', 'fd00::2'], labels: { app: 'web' } });
const db = pod('data/db', { ips: ['10.244.2.3'] });

function meshWith(...objects: readonly NamespaceAccess[]) {
  return meshOf({
    workloads: [web, db],
    services: [
      service('data/db', '10.96.0.7', '5432:5432', [{ address: '10.244.2.3' }]),
      service('kube-system/kube-dns', '10.96.0.10', '53:53', [{ address: '10.244.9.9' }]),
      { ...service('data/nodes', '10.96.0.8', '1:1', [{ address: '10.244.2.3' }]), vips: [] },
    ],
    access: objects,
  }).view;
}

/** `8.8.8.8:443/tcp`. */
function verdictOn(text: string, ...objects: readonly NamespaceAccess[]) {
  const [, ip = '', port, protocol] = /^\[?(.*?)\]?:(\d+)\/(tcp|udp)$/.exec(text) ?? [];
  const request = { ip: parseIp(ip), port: Number(port), protocol: protocol as 'tcp' | 'udp' };
  return egressVerdict(meshWith(...objects), web, request);
}

const say = (...objects: readonly NamespaceAccess[]) =>
  defaultVerdict(accessLookup(meshWith(...objects))(web));

const locked = access('shop/locked', { egress: { default: 'deny', rules: [] } });
const allowing = (text: string) =>
  access('shop/out', { egress: { default: 'deny', rules: [rule('allow', text)] } });

describe('without an object that selects the pod', () => {
  it('nothing is judged', () => {
    expect(verdictOn('8.8.8.8:443/tcp')).toBeUndefined();
    const elsewhere = access('data/locked', { egress: { default: 'deny', rules: [] } });
    const others = access('shop/others', { labels: { app: 'db' }, egress: { default: 'deny', rules: [] } });
    const inbound = access('shop/inbound', { inbound: 'deny' });
    expect(verdictOn('8.8.8.8:443/tcp', elsewhere, others, inbound)).toBeUndefined();
  });
});

describe('a default of Deny', () => {
  it('refuses what no rule allows, and names the object', () => {
    expect(verdictOn('8.8.8.8:443/tcp', locked)).toEqual({
      allowed: false,
      policy: 'namespaceaccess/shop/locked',
      reason: 'no rule allows 8.8.8.8:443/tcp, and spec.egress.default is Deny',
    });
    expect(verdictOn('[2001:db8::1]:53/udp', locked)?.allowed).toBe(false);
  });

  it('leaves the cluster’s DNS open, by UDP and TCP, and no other port there', () => {
    expect(verdictOn('10.96.0.10:53/udp', locked)).toMatchObject({ allowed: true, policy: undefined });
    expect(verdictOn('10.96.0.10:53/tcp', locked)?.allowed).toBe(true);
    expect(verdictOn('10.96.0.10:9153/tcp', locked)?.allowed).toBe(false);
    expect(verdictOn('8.8.8.8:53/udp', locked)?.allowed).toBe(false);
  });

  it('wins over another object’s Allow, whose rules still count', () => {
    const open = access('shop/open', { egress: { default: 'allow', rules: [rule('allow', '8.8.8.8')] } });
    expect(verdictOn('8.8.8.8:443/tcp', open, locked)?.allowed).toBe(true);
    expect(verdictOn('9.9.9.9:443/tcp', open, locked)).toMatchObject({
      policy: 'namespaceaccess/shop/locked',
    });
    expect(verdictOn('9.9.9.9:443/tcp', open)?.allowed).toBe(true);
  });
});

describe('a rule', () => {
  it.each([
    ['10.0.0.0/8', '10.1.2.3:1/tcp', true],
    ['10.0.0.0/8', '11.0.0.1:1/tcp', false],
    ['10.0.0.0/8-10.1.0.0/16', '10.1.2.3:1/tcp', false],
    ['10.0.0.0/8-10.1.0.0/16', '10.2.2.3:1/udp', true],
    ['::/0', '10.1.2.3:1/tcp', false],
    ['::/0', '[2001:db8::1]:1/tcp', true],
    ['0.0.0.0/0', '[2001:db8::1]:1/tcp', false],
    ['', '[2001:db8::1]:1/tcp', true],
    ['443/tcp', '9.9.9.9:443/tcp', true],
    ['443/tcp', '9.9.9.9:443/udp', false],
    ['1000-2000/udp', '9.9.9.9:2000/udp', true],
    ['1000-2000/udp', '9.9.9.9:2001/udp', false],
    ['udp', '9.9.9.9:2001/udp', true],
    ['udp', '9.9.9.9:2001/tcp', false],
    ['data/db', '10.96.0.7:5432/tcp', true],
    ['data/db', '10.244.2.3:5432/tcp', false],
    ['data/nodes', '10.244.2.3:5432/tcp', true],
    ['data/gone', '10.244.2.3:5432/tcp', false],
    ['@data', '10.244.2.3:5432/udp', true],
    ['@data', '10.96.0.7:1/tcp', true],
    ['@data', '10.244.1.2:1/tcp', false],
  ])('that allows "%s": %s is allowed: %s', (text, destination, expected) => {
    expect(verdictOn(destination, allowing(text))?.allowed).toBe(expected);
  });

  it('that denies wins over one that allows, in whatever object, and over the built-in one for DNS', () => {
    const denying = access('shop/no-metadata', {
      egress: {
        default: 'allow',
        rules: [rule('deny', '169.254.169.254'), rule('deny', 'kube-system/kube-dns')],
      },
    });
    expect(verdictOn('169.254.169.254:80/tcp', denying)).toEqual({
      allowed: false,
      policy: 'namespaceaccess/shop/no-metadata',
      reason: 'spec.egress.rules[0] denies 169.254.169.254:80/tcp',
    });
    expect(verdictOn('169.254.169.254:80/tcp', denying, allowing('0.0.0.0/0'))?.allowed).toBe(false);
    expect(verdictOn('10.96.0.10:53/udp', denying)?.allowed).toBe(false);
    expect(verdictOn('1.1.1.1:80/tcp', denying)?.allowed).toBe(true);
  });
});

describe('the default for inbound connections', () => {
  it('is to allow, unless some object of the pod says Deny', () => {
    expect(say()).toBeUndefined();
    expect(say(locked, access('shop/a', { inbound: 'allow' }))).toBeUndefined();
    expect(say(access('shop/a', { inbound: 'allow' }), access('shop/b', { inbound: 'deny' }))).toEqual({
      allowed: false,
      policy: 'namespaceaccess/shop/b',
      reason: 'no ALLOW policy applies, and spec.inbound.default is Deny',
    });
    expect(say(access('shop/b', { inbound: 'deny', labels: { app: 'db' } }))).toBeUndefined();
  });
});
