import { describe, expect, it } from '@jest/globals';
import { parseAim, parseReference } from '../../../../src/ztunnel/explanation/reference.ts';

const named = (kind: string, namespace: string, name: string) => ({ type: 'name', kind, namespace, name });

describe('an end of a connection', () => {
  it.each([
    ['shop/web-1', named('any', 'shop', 'web-1')],
    ['web-1.shop', named('any', 'shop', 'web-1')],
    ['web-1', named('any', 'default-one', 'web-1')],
    ['pod/shop/web-1', named('pod', 'shop', 'web-1')],
    ['pod/web-1', named('pod', 'default-one', 'web-1')],
    ['po/web-1.shop', named('pod', 'shop', 'web-1')],
    ['workload/shop/web', named('owner', 'shop', 'web')],
    ['deploy/shop/web', { ...named('owner', 'shop', 'web'), ownerKind: 'deployment' }],
    ['sts/shop/db', { ...named('owner', 'shop', 'db'), ownerKind: 'statefulset' }],
    ['svc/shop/db', named('service', 'shop', 'db')],
    ['db.shop.svc', named('service', 'shop', 'db')],
    ['db.shop.svc.cluster.local', named('service', 'shop', 'db')],
    ['10.0.0.1', { type: 'address', ip: '10.0.0.1' }],
    ['::ffff:10.0.0.1', { type: 'address', ip: '10.0.0.1' }],
    ['sa/shop/web', { type: 'account', namespace: 'shop', name: 'web' }],
    ['sa/shop/web@10.0.0.1', { type: 'account', namespace: 'shop', name: 'web', ip: '10.0.0.1' }],
    [
      'spiffe://cluster.local/ns/shop/sa/web',
      { type: 'identity', identity: 'spiffe://cluster.local/ns/shop/sa/web', ip: undefined },
    ],
  ])('%s', (text, expected) => {
    expect(parseReference(text, 'default-one')).toEqual(expected);
  });

  it.each([
    '',
    'a/b/c',
    'Web',
    'pod/',
    'shop/web/',
    'spiffe://cluster.local/web',
    'sa/a/b@nowhere',
    '010.0.0.1/x/y',
  ])('cannot be "%s"', (text) => {
    expect(() => parseReference(text, 'default-one')).toThrow();
  });

  it('without a namespace asks for one', () => {
    expect(() => parseReference('web', undefined)).toThrow(/in which namespace/);
  });
});

describe('what is dialled', () => {
  it.each([
    ['db.shop:5432', { at: named('any', 'shop', 'db'), port: 5432, transport: 'tcp' }],
    ['db.shop', { at: named('any', 'shop', 'db'), port: undefined, transport: 'tcp' }],
    ['svc/shop/db:53/udp', { at: named('service', 'shop', 'db'), port: 53, transport: 'udp' }],
    ['10.0.0.1:80/TCP', { at: { type: 'address', ip: '10.0.0.1' }, port: 80, transport: 'tcp' }],
    ['[fd00::1]:80', { at: { type: 'address', ip: 'fd00::1' }, port: 80, transport: 'tcp' }],
    ['fd00::1', { at: { type: 'address', ip: 'fd00::1' }, port: undefined, transport: 'tcp' }],
  ])('%s', (text, expected) => {
    expect(parseAim(text, undefined)).toEqual(expected);
  });

  it.each(['db.shop:0', 'db.shop:70000', 'db.shop:http', ':80'])('cannot be "%s"', (text) => {
    expect(() => parseAim(text, undefined)).toThrow();
  });
});
