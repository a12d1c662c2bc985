/** NamespaceAccess as people write it: what it says, what is wrong with it, and what is in force while something is. */
import { describe, expect, it } from '@jest/globals';
import { FeedObjects } from '../../../../src/kube/api/feed-objects.ts';
import { nodeFeeds } from '../../../../src/kube/api/feed.ts';
import { ManifestCache } from '../../../../src/kube/manifest-cache.ts';
import { formatProblem } from '../../../../src/kube/problem.ts';
import { translateAccess } from '../../../../src/kube/translate/namespace-access.ts';
import type { NodeName } from '../../../../src/model/mesh.ts';
import { rule } from '../../../support/egress.ts';
import { FollowedMesh, objectIn, objectsIn } from '../support.ts';

const manifest = (spec: string): string =>
  `{apiVersion: mesh-ebpf.io/v1alpha1, kind: NamespaceAccess, metadata: {name: n, namespace: shop}, spec: {${spec}}}`;

const translate = (spec: string) => translateAccess(objectIn('NamespaceAccess', manifest(spec)));

const problemsOf = (spec: string): readonly string[] =>
  translate(spec).problems.map((problem) =>
    formatProblem({ ...problem, position: undefined, object: undefined }),
  );

/** As an API server sends it. */
const raw = (spec: object) => ({ metadata: { name: 'n', namespace: 'shop' }, spec });

/** The rules of `egress: {default: Deny, rules: […]}`, with what is wrong with them. */
const rulesOf = (rules: string) => translate(`egress: {default: Deny, rules: ${rules}}`).access.egress?.rules;
const ruleProblems = (rules: string) => problemsOf(`egress: {default: Deny, rules: ${rules}}`);

describe('a NamespaceAccess', () => {
  it('says nothing of what it does not name', () => {
    expect(translate('inbound: {default: Deny}').access).toEqual({
      key: 'namespaceaccess/shop/n',
      namespace: 'shop',
      name: 'n',
      labels: {},
      inbound: 'deny',
      egress: undefined,
    });
    expect(translate('selector: {matchLabels: {app: web}}, egress: {default: Allow}').access).toMatchObject({
      labels: { app: 'web' },
      inbound: undefined,
      egress: { default: 'allow', rules: [] },
    });
    expect(problemsOf('')).toEqual(['warning: spec: it has neither inbound nor egress, and says nothing']);
  });

  it('names destinations by address, Service and namespace, and ports by protocol', () => {
    expect(
      rulesOf(`[
        {to: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}, {cidr: "2001:db8::1"}], ports: [{protocol: TCP, port: 443}]},
        {action: Deny, to: [{service: {name: db, namespace: data}}, {namespace: kube-system}]},
        {ports: [{protocol: UDP}, {protocol: TCP, port: 1000, endPort: 2000}]}]`),
    ).toEqual([
      rule('allow', '10.0.0.0/8-10.1.0.0/16 2001:db8::1/128 443/tcp'),
      rule('deny', 'data/db @kube-system'),
      rule('allow', 'udp 1000-2000/tcp'),
    ]);
  });

  it('whose rules allow what is allowed anyway is remarked on', () => {
    expect(problemsOf('egress: {default: Allow, rules: [{to: [{cidr: 10.0.0.0/8}]}]}')).toEqual([
      expect.stringMatching(/^warning: spec.egress.rules: what they allow is allowed anyway/),
    ]);
    expect(problemsOf('egress: {default: Allow, rules: [{action: Deny, to: [{cidr: 10.0.0.0/8}]}]}')).toEqual(
      [],
    );
  });
});

describe('what cannot be read', () => {
  it.each([
    ['{to: [{cidr: 10.0.0.0/33}]}', 'spec.egress.rules[0].to[0].cidr: "10.0.0.0/33" is not an IP prefix'],
    ['{to: [{cidr: 010.0.0.1}]}', 'spec.egress.rules[0].to[0].cidr: "010.0.0.1" is not an IP address'],
    [
      '{to: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}',
      'spec.egress.rules[0].to[0].except[0]: 11.0.0.0/16 is not in 10.0.0.0/8',
    ],
    [
      '{to: [{}]}',
      'spec.egress.rules[0].to[0]: expected one of cidr, service and namespace, found 0 of them',
    ],
    [
      '{to: [{cidr: 10.0.0.0/8, namespace: x}]}',
      'spec.egress.rules[0].to[0]: expected one of cidr, service and namespace, found 2 of them',
    ],
    [
      '{to: [{namespace: x, except: [10.0.0.0/8]}]}',
      'spec.egress.rules[0].to[0].except: only a cidr has exceptions',
    ],
    [
      '{ports: [{protocol: TCP, port: 9, endPort: 8}]}',
      'spec.egress.rules[0].ports[0].endPort: it is less than port, 9',
    ],
    [
      '{ports: [{protocol: TCP, endPort: 8}]}',
      'spec.egress.rules[0].ports[0].endPort: there is no port that it is the end of',
    ],
  ])('of %s is told with its field, and allows nothing', (text, problem) => {
    expect(ruleProblems(`[${text}]`)).toEqual([problem]);
    expect(translate(`egress: {default: Deny, rules: [${text}]}`).valid).toBe(false);
    expect(rulesOf(`[${text}]`)).toEqual([]);
  });

  it('leaves what a rule allows besides, and makes one that denies deny more', () => {
    expect(rulesOf('[{to: [{cidr: 10.0.0.0/33}, {cidr: 10.0.0.0/8}]}]')).toEqual([
      rule('allow', '10.0.0.0/8'),
    ]);
    expect(
      rulesOf('[{action: Deny, to: [{cidr: 10.0.0.0/33}, {cidr: 10.0.0.0/8}], ports: [{protocol: UDP}]}]'),
    ).toEqual([rule('deny', 'udp')]);
  });

  it.each([
    ['egress: {}', 'spec.egress: default is missing'],
    ['egress: {default: Block}', 'spec.egress.default: expected one of Allow, Deny'],
    [
      'egress: {default: Deny, rules: [{too: [{namespace: x}]}]}',
      'spec.egress.rules[0].too: unknown field (did you mean to?)',
    ],
    ['egress: {default: Deny, rules: [{to: }]}', 'spec.egress.rules[0].to: expected a list, found nothing'],
    ['egress: {default: Deny, rules: [{to: []}]}', 'spec.egress.rules[0].to: the list is empty'],
    ['egress: {default: Deny, rules: [{ports: [{port: 53}]}]}', 'protocol is missing'],
    ['egress: {default: Deny, rules: [{ports: [{protocol: TCP, port: 0}]}]}', 'expected a port number'],
  ])('as in "%s", makes the object one that denies, both ways, if there was no good one', (spec, problem) => {
    const cache = new ManifestCache();
    cache.set('a.yaml', manifest(spec));
    const { objects, errors } = cache.merged();
    expect(errors.map(formatProblem).join()).toContain(problem);
    const { state } = new FollowedMesh().become(objects);
    expect(state.access).toEqual([
      expect.objectContaining({ labels: {}, inbound: 'deny', egress: { default: 'deny', rules: [] } }),
    ]);
    // And the last good one goes on, if there was one.
    cache.set('a.yaml', manifest('egress: {default: Allow}'));
    cache.set('a.yaml', manifest(spec));
    expect(new FollowedMesh().become(cache.merged().objects).state.access).toEqual([
      expect.objectContaining({ inbound: undefined, egress: { default: 'allow', rules: [] } }),
    ]);
  });

  it('in an object of an API server means the same', () => {
    const feed = nodeFeeds('n' as NodeName).find(({ kind }) => kind === 'NamespaceAccess');
    if (feed === undefined) throw new Error('no such feed');
    const objects = new FeedObjects(feed);
    const specOf = (spec: object) =>
      objects.set(raw(spec)).set.map(({ object }) => 'spec' in object && object.spec);
    const denying = { inbound: { default: 'Deny' }, egress: { default: 'Deny' } };
    expect(specOf({ egress: { default: 'Perhaps' } })).toEqual([denying]);
    expect(objects.problems).toHaveLength(1);
    expect(specOf({ egress: { default: 'Allow' } })).toEqual([{ egress: { default: 'Allow' } }]);
    expect(specOf({ egress: { default: 'Perhaps' } })).toEqual([]);
  });
});

describe('the objects of a mesh', () => {
  it('keep the last good version of one that became unreadable, and forget one that is deleted', () => {
    const mesh = new FollowedMesh();
    const good = objectsIn(manifest('egress: {default: Deny, rules: [{to: [{cidr: 10.0.0.0/8}]}]}'));
    const bad = objectsIn(manifest('egress: {default: Deny, rules: [{to: [{cidr: 10.0.0.0/40}]}]}'));
    const expected = [
      expect.objectContaining({ egress: { default: 'deny', rules: [rule('allow', '10.0.0.0/8')] } }),
    ];
    expect(mesh.become(good).state.access).toEqual(expected);
    const { state, problems } = mesh.become(bad);
    expect(state.access).toEqual(expected);
    expect(problems).toHaveLength(1);
    expect(mesh.become([])).toMatchObject({ state: { access: [] }, problems: [] });
  });
});
