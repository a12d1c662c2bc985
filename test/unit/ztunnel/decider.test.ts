import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import type { Workload } from '../../../src/model/mesh.ts';
import type { Arrival, Decision, HboneRoute } from '../../../src/net/engine.ts';
import { at, pod, service } from '../../support/mesh-builder.ts';
import {
  noKernelPath,
  noSessions,
  web,
  cart,
  cart2,
  legacy,
  deny,
  setup,
  world,
  enginePod,
  dial,
  connect,
  plaintext,
  routesOf,
  further,
  codeOf,
} from './deciding.ts';

const targetOf = (decision: Decision) => routesOf(decision)[0]?.target;

describe('a connection to a probe address', () => {
  it('answers the agent’s question without being anybody’s connection', () => {
    const { decide, records } = setup({ original: at('192.0.2.1:4711') });
    const decision = decide(dial());
    expect(decision.type).toBe('refuse');
    decision.observer.finished({ counts: { sent: 0, received: 0 }, failure: undefined });
    expect(records).toEqual([]);
  });

  it('that the agent did not ask for is refused: forwarded, it would be captured again', () => {
    const { decide } = setup({ original: at('192.0.2.1:4712') });
    expect(decide(dial())).toMatchObject({ type: 'refuse', error: { code: 'RECURSIVE_CALL' } });
  });
});

describe('a connection an application opens', () => {
  it('goes through HBONE to a workload of the mesh, which must prove the identity of its service account', () => {
    const [route] = routesOf(setup({ original: at('10.244.2.7:8080') }).decide(dial()));
    expect(route).toMatchObject({
      type: 'hbone',
      via: at('10.244.2.7:15008'),
      target: at('10.244.2.7:8080'),
      expectedIdentities: [cart.identity],
    });
    const headers = new Map((route as HboneRoute).headers);
    expect(headers.get('forwarded')).toBe('for="10.244.1.5:40000"');
    expect(headers.get('traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    expect(headers.get('baggage')).toContain('k8s.namespace.name=shop');
  });

  it('to a Service is offered its endpoints one after the other, on the endpoints’ own port', () => {
    const decision = setup({ original: at('10.96.0.10:80') }).decide(dial());
    const routes = [...routesOf(decision), further(decision), further(decision)];
    expect(routes.map((route) => route?.target)).toEqual([
      at('10.244.2.7:8080'),
      at('10.244.2.8:8080'),
      undefined,
    ]);
    expect(new Map((routes[0] as HboneRoute).headers).get('forwarded')).toContain(
      ';host=cart.shop.svc.cluster.local',
    );
  });

  it('to a Service is offered an endpoint that came when the first had been tried, and none that has gone', () => {
    const { decide, mesh } = setup({ original: at('10.96.0.10:80') });
    const decision = decide(dial());
    const late = pod('shop/cart-3', { ips: ['10.244.2.9'], serviceAccount: 'cart' });
    const endpoints = [{ address: '10.244.2.9' }];
    mesh.replace({
      workloads: [web, late],
      services: [service('shop/cart', '10.96.0.10', '80:8080', endpoints)],
      policies: [],
      peerAuthentications: [],
    });
    expect(further(decision)).toMatchObject({ type: 'hbone', via: at('10.244.2.9:15008') });
    expect(further(decision)).toBeUndefined();
  });

  it('to a Service avoids an endpoint that failed another connection just now', () => {
    const { decide, tick } = setup({ original: at('10.96.0.10:80') });
    const failed = decide(dial());
    const [route] = routesOf(failed);
    if (route === undefined) throw new Error('expected a route');
    const error = new MeshError('DIAL_FAILED', 'no answer');
    failed.observer.routeFailed(route, { hop: 'dial', error });
    expect(targetOf(decide(dial()))).toEqual(at('10.244.2.8:8080'));
    tick(10_000);
    expect(targetOf(decide(dial()))).toEqual(at('10.244.2.7:8080'));
  });

  it('to a pod’s own address is offered nothing else', () => {
    expect(further(setup({ original: at('10.244.2.7:8080') }).decide(dial()))).toBeUndefined();
  });

  it('goes straight to a destination outside the mesh', () => {
    expect(routesOf(setup({ original: at('192.0.2.7:443') }).decide(dial()))).toEqual([
      { type: 'direct', target: at('192.0.2.7:443'), source: undefined },
    ]);
    expect(routesOf(setup({ original: at('10.96.0.11:80') }).decide(dial()))).toEqual([
      { type: 'direct', target: at('10.244.2.9:8080'), source: undefined },
    ]);
  });

  it.each([
    ['the Service has no ready endpoint', '10.96.0.12:80', 'NO_HEALTHY_ENDPOINT'],
    ['the Service has no such port', '10.96.0.10:81', 'NO_HEALTHY_ENDPOINT'],
    ['it aims at the capture port of another pod', '10.244.2.7:15001', 'RECURSIVE_CALL'],
    ['it aims at the HBONE port of another pod', '10.244.2.7:15008', 'RECURSIVE_CALL'],
  ])('is refused when %s', (_why, original, code) => {
    expect(codeOf(setup({ original: at(original) }).decide(dial()))).toBe(code);
  });

  it('to a Service with session affinity begins with the client’s endpoint, and has another to fall back on', () => {
    const ends = [0, 0.99, 0, 0.99];
    const { decide } = setup({ original: at('10.96.0.15:80'), random: () => ends.shift() ?? 0 });
    const decisions = [1, 2, 3].map(() => decide(dial()));
    const targets = decisions.map((decision) => routesOf(decision).map(({ target }) => target));
    expect(targets.map(([first]) => first)).toEqual(targets.map(() => targets[0]?.[0]));
    const [other] = decisions.map(further);
    expect(other).toBeDefined();
    expect(other?.target).not.toEqual(targets[0]?.[0]);
    const elsewhere = [setup({ original: at('10.96.0.15:80') }).decide(dial())].map(
      (decision) => routesOf(decision)[0],
    );
    expect(elsewhere[0]?.target).toEqual(targets[0]?.[0]);
  });

  it.each([
    ['with the kernel where the client’s pod takes the kernel path', undefined, 1],
    ['with ztunnel alone where it asks for HBONE', 'hbone', 0],
  ] as const)('to a Service with session affinity leaves the session %s', (_, sameNode, expected) => {
    const kept: unknown[] = [];
    const { decide, mesh } = setup({
      original: at('10.96.0.15:80'),
      kernelPath: { ...noKernelPath, scope: { node: web.node } },
      sessions: { ...noSessions, keep: (session) => kept.push(session) > 0 },
    });
    const asking = { ...web, ...(sameNode !== undefined && { sameNode }) };
    const others = [...mesh.view.workloads.values()].filter(({ uid }) => uid !== web.uid);
    const { services = [] } = world;
    mesh.replace({ workloads: [...others, asking], services, policies: [], peerAuthentications: [] });
    decide(dial());
    expect(kept).toHaveLength(expected);
  });

  it('to a Service whose endpoints say for which zone they are goes to those of its node’s zone', () => {
    const routes = routesOf(setup({ original: at('10.96.0.17:80') }).decide(dial()));
    expect(routes.map(({ target }) => target)).toEqual([at('10.244.2.8:8080')]);
  });

  it('to a Service with internalTrafficPolicy: Local is refused when no endpoint is on its node, and says so', () => {
    expect(setup({ original: at('10.96.0.16:80') }).decide(dial())).toMatchObject({
      type: 'refuse',
      error: {
        code: 'NO_HEALTHY_ENDPOINT',
        message: expect.stringContaining('on node node-a (internalTrafficPolicy: Local)'),
      },
    });
  });

  it('uses endpoints that serve but are leaving when no other is left', () => {
    expect(routesOf(setup({ original: at('10.96.0.13:80') }).decide(dial()))).toHaveLength(1);
  });

  it('that was not captured but dialled the capture port is refused', () => {
    expect(codeOf(setup().decide(dial()))).toBe('NO_ORIGINAL_DESTINATION');
  });

  it('of a pod that is not known (yet) is refused', () => {
    const stranger = { ...enginePod(web), uid: 'shop/stranger' as Workload['uid'] };
    const arrival = { ...dial(), pod: stranger } as Arrival;
    expect(codeOf(setup({ original: at('10.244.2.7:8080') }).decide(arrival))).toBe('UNKNOWN_SOURCE');
  });
});

it('a connection that ended before it was decided on is recorded with whom it was for, not with its client twice', () => {
  const { decider, records } = setup();
  const error = new MeshError('TLS_FAILED', 'no certificate');
  const [client, local] = [at('10.244.2.7:51000'), at('10.244.1.5:15008')];
  decider.rejected({ pod: enginePod(web), client, local }, { hop: 'tls', error });
  expect(records).toEqual([
    expect.objectContaining({
      source: expect.objectContaining({ address: client, workload: cart }),
      destination: expect.objectContaining({ address: local, workload: web }),
      originalDestination: local,
    }),
  ]);
});

describe('a connection that arrives through HBONE', () => {
  it('reaches the application from its client’s address, with the proved identity judged', () => {
    const { decide, asked } = setup();
    expect(routesOf(decide(connect('10.244.1.5:9090')))).toEqual([
      { type: 'direct', target: at('10.244.1.5:9090'), source: '10.244.2.7' },
    ]);
    expect(asked[0]).toMatchObject({
      identity: cart.identity,
      target: { port: 9090 },
      destination: { name: 'web' },
    });
  });

  it('may name a Service this pod serves', () => {
    expect(routesOf(setup().decide(connect('web.shop.svc.cluster.local:80')))[0]).toMatchObject({
      target: at('10.244.1.5:9090'),
    });
  });

  it.each([
    ['another pod’s address', '10.244.2.7:8080', 'BAD_CONNECT'],
    ['an address outside', '192.0.2.1:80', 'BAD_CONNECT'],
    ['a Service this pod does not serve', 'cart.shop.svc.cluster.local:80', 'BAD_CONNECT'],
    ['a name that only begins like a Service it serves', 'web.shop.evil.example:80', 'BAD_CONNECT'],
    ['nothing', '', 'BAD_CONNECT'],
    ['no port', '10.244.1.5', 'BAD_CONNECT'],
    ['port 0', '10.244.1.5:0', 'BAD_CONNECT'],
    ['an octal-looking address', '010.244.1.5:80', 'BAD_CONNECT'],
    ['the plaintext port', '10.244.1.5:15006', 'RECURSIVE_CALL'],
    ['the HBONE port', '10.244.1.5:15008', 'RECURSIVE_CALL'],
    ['the outbound port', '10.244.1.5:15001', 'RECURSIVE_CALL'],
  ])('is refused when it aims at %s', (_what, authority, code) => {
    expect(codeOf(setup().decide(connect(authority)))).toBe(code);
  });

  it('is refused when policy says so, before there is a route', () => {
    const decision = setup({ verdict: deny }).decide(connect('10.244.1.5:9090'));
    expect(codeOf(decision)).toBe('POLICY_DENIED');
  });

  it('gets no identity from its address, `forwarded` or `baggage`', () => {
    const { decide, asked, records } = setup();
    const forged = new Map([
      ['forwarded', 'for="10.244.2.8:1";host=cart.shop.svc.cluster.local'],
      ['baggage', 'k8s.namespace.name=kube-system'],
    ]);
    const decision = decide(connect('10.244.1.5:9090', { peerIdentity: legacy.identity, headers: forged }));
    decision.observer.finished({ counts: { sent: 0, received: 0 }, failure: undefined });
    expect(asked[0]?.identity).toBe(legacy.identity);
    expect(records[0]?.source).toMatchObject({ identity: legacy.identity, workload: undefined });
    expect(records[0]?.service).toBeUndefined();
  });

  it('adopts the trace of its client, if it is well formed', () => {
    const { decide, records } = setup();
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    for (const value of [`00-${trace}-00f067aa0ba902b7-00`, 'rubbish']) {
      const decision = decide(connect('10.244.1.5:9090', { headers: new Map([['traceparent', value]]) }));
      decision.observer.finished({ counts: { sent: 0, received: 0 }, failure: undefined });
    }
    expect(records.map(({ traceId }) => traceId)).toEqual([trace, undefined]);
  });
});

describe('a connection that arrives as plaintext', () => {
  it('reaches the application without an identity', () => {
    const { decide, asked } = setup();
    expect(routesOf(decide(plaintext('10.244.1.5:9090')))).toEqual([
      { type: 'direct', target: at('10.244.1.5:9090'), source: '10.244.2.9' },
    ]);
    expect(asked[0]?.identity).toBeUndefined();
  });

  it('from a pod of the mesh has no identity either: an address proves nothing', () => {
    const { decide, asked } = setup();
    decide(plaintext('10.244.1.5:9090', '10.244.2.7:52000'));
    expect(asked[0]?.identity).toBeUndefined();
  });

  it('is refused when policy says so', () => {
    expect(codeOf(setup({ verdict: deny }).decide(plaintext('10.244.1.5:9090')))).toBe('POLICY_DENIED');
  });

  it('is refused at the mesh’s own ports', () => {
    expect(codeOf(setup().decide(plaintext('10.244.1.5:15006')))).toBe('RECURSIVE_CALL');
  });
});

describe('the record of a connection', () => {
  it('names the endpoint that answered, not the first one tried', () => {
    const { decide, records, opened, tick } = setup({ original: at('10.96.0.10:80') });
    const decision = decide(dial());
    const second = further(decision);
    if (second === undefined) throw new Error('expected another route');
    decision.observer.established(second, { counts: () => ({ sent: 3, received: 4 }), close: () => {} });
    expect(opened[0]?.summary()).toMatchObject({ bytesSent: 3, bytesReceived: 4 });
    tick(250);
    decision.observer.finished({ counts: { sent: 5, received: 6 }, failure: undefined });
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({
      direction: 'outbound',
      path: 'tunnel',
      originalDestination: at('10.96.0.10:80'),
      destination: { workload: { name: 'cart-2' }, identity: cart2.identity },
      service: 'shop/cart',
      bytesSent: 5,
      durationMs: 250,
      error: undefined,
    });
  });

  it('says where and why a refused connection ended', () => {
    const { decide, records } = setup({ verdict: deny });
    const decision = decide(plaintext('10.244.1.5:9090'));
    if (decision.type !== 'refuse') throw new Error('expected a refusal');
    decision.observer.finished({
      counts: { sent: 0, received: 0 },
      failure: { hop: decision.hop, error: decision.error },
    });
    expect(records[0]).toMatchObject({
      verdict: deny,
      error: { code: 'POLICY_DENIED', hop: 'policy' },
    });
  });
});
