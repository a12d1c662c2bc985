/** Services of which an endpoint is on the client's node: carried by the kernel, told with the Service, judged as ever. */
import { describe, expect } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import type { ConnectionItem, ExplanationDocument } from '../../src/telemetry/admin-api.ts';
import { cli } from './support/cli.ts';
import { type ClientAnswer, type Lab, labSuiteWith } from './support/lab.ts';
import { namespace, pod, policy, serverPod, service, serviceAccount } from './support/manifest.ts';
import { eventually, until } from './support/wait.ts';

const here = { node: 'node-a' } as const;
/** Behind one Service with another one. */
const behind = (app: string, yaml: string): string => yaml.replace(/app: [\w-]+ \}/, `app: ${app} }`);

const withSessions = (yaml: string, seconds: number): string =>
  `${yaml}  sessionAffinity: ClientIP\n  sessionAffinityConfig: { clientIP: { timeoutSeconds: ${seconds} } }\n`;

const { scenario } = labSuiteWith(
  ['--same-node', 'kernel'],
  namespace('shop', 'ambient'),
  serviceAccount('shop/web'),
  pod('shop/web', { ...here, serviceAccount: 'web' }),
  serverPod('shop/cart', here),
  service('shop/cart', [7000, 7001, 7003]),
  behind('mixed', serverPod('shop/mixed-near', here)),
  behind('mixed', serverPod('shop/mixed-far', { node: 'node-b' })),
  service('shop/mixed', [7000, 7001]),
  ...['one', 'two'].map((name) => behind('sticky', serverPod(`shop/sticky-${name}`, here))),
  withSessions(service('shop/sticky', [7000, 7001]), 600),
  withSessions(behind('sticky', service('shop/brief', [7000, 7001])), 8),
);

const refused = ['ECONNREFUSED', 'ECONNRESET', null];

/** A connection from `web`, and its record at the destination, if that is on this node. */
async function greeted(lab: Lab, host: string): Promise<[ClientAnswer, ConnectionItem]> {
  const answer = await lab.client('shop/web', 'greet', host);
  const record = await lab.record(
    'node-a',
    `the connection from port ${answer.own?.[1]}`,
    ({ source, direction }) => direction === 'inbound' && source.address.endsWith(`:${answer.own?.[1]}`),
  );
  return [answer, record];
}

const warm = (lab: Lab, host: string): Promise<void> =>
  until('the kernel path', async () => (await greeted(lab, host))[1].path === 'kernel');

const outcome = async (lab: Lab, host: string): Promise<string | null> => {
  const { error, greeting } = await lab.client('shop/web', 'greet', host);
  return error ?? (greeting === null ? null : 'greeted');
};

const endpointOf = ({ greeting }: ClientAnswer): string | undefined => greeting?.local[0];

describe.each(['ip4', 'ip6'] as const)('a Service on the own node, over %s,', (family) => {
  scenario('is carried by the kernel alone, and both records have the Service', async (lab) => {
    const { [family]: endpoint } = lab.pod('shop/cart');
    const dialled = await vipOf(lab, family);
    await warm(lab, dialled);
    const [answer, record] = await greeted(lab, dialled);
    expect(answer.peer).toEqual([dialled, 7001]);
    // Nobody is in between: the application sees the client's own address and port.
    expect(answer.greeting?.client).toEqual(answer.own);
    expect(endpointOf(answer)).toBe(endpoint);
    expect(record).toMatchObject({
      path: 'kernel',
      service: 'shop/cart',
      source: { workload: 'shop/web' },
      destination: { workload: 'shop/cart' },
      verdict: { allowed: true },
      outcome: 'completed',
    });
    expect(record.originalDestination).toBe(family === 'ip6' ? `[${dialled}]:7001` : `${dialled}:7001`);
    const other = await lab.record(
      'node-a',
      'the other side',
      ({ traceId, direction }) => traceId === record.traceId && direction === 'outbound',
    );
    expect(other).toMatchObject({ path: 'kernel', service: 'shop/cart' });
  });
});

/** The Service's address of a family, as its name tells it to applications. */
async function vipOf(lab: Lab, family: 'ip4' | 'ip6'): Promise<string> {
  const ask = `import socket; print(socket.getaddrinfo('cart.shop', 1, socket.AF_INET${family === 'ip6' ? '6' : ''})[0][4][0])`;
  const { stdout } = await lab.exec('shop/web', ['python3', '-c', ask]);
  return stdout.trim();
}

scenario('endpoints here and elsewhere both get their share, each on its own path', async (lab) => {
  const { ip4: near, ip6: near6 } = lab.pod('shop/mixed-near');
  const { ip4: far, ip6: far6 } = lab.pod('shop/mixed-far');
  const count = 40;
  const reached: string[] = [];
  for (let i = 0; i < count; i++) {
    const answer = await lab.client('shop/web', 'greet', 'mixed.shop');
    reached.push(endpointOf(answer) ?? 'nobody');
  }
  const timesAt = (...ips: readonly string[]): number => reached.filter((ip) => ips.includes(ip)).length;
  expect(timesAt(near, near6) + timesAt(far, far6)).toBe(count);
  // Chance gives either less than six once in a million runs.
  expect(timesAt(near, near6)).toBeGreaterThan(5);
  expect(timesAt(far, far6)).toBeGreaterThan(5);
  const records = (await lab.connections('node-a')).filter(
    ({ service: name, direction }) => name === 'shop/mixed' && direction === 'outbound',
  );
  const pathsTo = (workload: string): readonly string[] => [
    ...new Set(records.flatMap(({ destination, path }) => (destination.workload === workload ? path : []))),
  ];
  expect(pathsTo('shop/mixed-far')).toEqual(['tunnel']);
  expect(pathsTo('shop/mixed-near')).toEqual(['kernel']);
});

scenario(
  'a policy that denies the endpoint denies it by the Service, too, and ends what is open',
  async (lab) => {
    await warm(lab, 'cart.shop');
    await lab.client('shop/web', 'exchange', 'cart.shop', 7000, 'the first one goes through ztunnel');
    const held = await lab.start('shop/web', 'hold', 'cart.shop', 7000, 3);
    expect(await held.nextJson()).toEqual({ open: 3, problems: [] });
    await lab.apply(policy('shop/nobody', 'DENY', '[{}]', 'cart'));
    try {
      await until('new ones to be refused', async () => refused.includes(await outcome(lab, 'cart.shop')));
      const cut = await lab.record(
        'node-a',
        'a late denial',
        ({ path, direction, error }) =>
          path === 'kernel' && direction === 'inbound' && error?.message.includes('late denial') === true,
      );
      expect(cut).toMatchObject({ service: 'shop/cart', verdict: { allowed: false, policy: 'shop/nobody' } });
      for (let i = 0; i < 5; i++) expect(refused).toContain(await outcome(lab, 'cart.shop'));
      const denied = await lab.record(
        'node-a',
        'a denial of the Service',
        ({ service: name, verdict, direction }) =>
          name === 'shop/cart' && direction === 'inbound' && verdict?.allowed === false,
      );
      expect(denied.destination.workload).toBe('shop/cart');
    } finally {
      await lab.delete('authorizationpolicy', 'nobody', '-n', 'shop');
    }
    const { problems } = await held.result<{ problems: readonly string[] }>();
    expect(problems).toHaveLength(3);
    await warm(lab, 'cart.shop');
  },
);

const explainedPaths = async (to: string): Promise<readonly (string | null)[]> => {
  const { stdout } = await cli(['explain', 'shop/web', to, '-o', 'json']);
  return (JSON.parse(stdout) as ExplanationDocument).ways.map(({ path }) => path);
};

scenario('explain has the way that it takes', async () => {
  expect(new Set(await explainedPaths('cart.shop:7001'))).toEqual(new Set(['kernel']));
  expect(new Set(await explainedPaths('mixed.shop:7001'))).toEqual(new Set(['hbone', 'kernel']));
});

interface Reached {
  readonly endpoint: string | undefined;
  /** `kernel`: alone. `local`: ztunnel was asked for a verdict. `tunnel`: it chose the endpoint. */
  readonly path: string;
}

/** Where a connection from `web` went, and how. */
async function reach(lab: Lab, host: string): Promise<Reached> {
  const answer = await lab.client('shop/web', 'greet', host);
  const { path } = await lab.record(
    'node-a',
    `the connection from port ${answer.own?.[1]}`,
    ({ source, direction }) => direction === 'outbound' && source.address.endsWith(`:${answer.own?.[1]}`),
  );
  return { endpoint: endpointOf(answer), path };
}

const inKernel = (lab: Lab, host: string): Promise<Reached> =>
  eventually('the kernel path', async () => {
    const reached = await reach(lab, host);
    return reached.path === 'kernel' ? reached : undefined;
  });

const podAt = (lab: Lab, ip: string | undefined, ...names: readonly string[]): string => {
  const found = names.find((name) =>
    [lab.pod(`shop/${name}`).ip4, lab.pod(`shop/${name}`).ip6].includes(ip ?? ''),
  );
  if (found === undefined) throw new Error(`${ip} is none of ${names.join(', ')}`);
  return found;
};

scenario(
  'a client keeps its endpoint, by ztunnel and in the kernel, as long as it may be used',
  async (lab) => {
    const first = await reach(lab, 'sticky.shop');
    expect(first.path).toBe('tunnel');
    const { endpoint } = first;
    for (let i = 0; i < 10; i++) expect((await reach(lab, 'sticky.shop')).endpoint).toBe(endpoint);
    expect(await inKernel(lab, 'sticky.shop')).toEqual({ endpoint, path: 'kernel' });

    // One more here: ztunnel is asked whether that changes anything, and says no.
    await lab.apply(behind('sticky', serverPod('shop/sticky-three', here)));
    const asked = await eventually('ztunnel to be asked', async () => {
      const reached = await reach(lab, 'sticky.shop');
      expect(reached.endpoint).toBe(endpoint);
      return reached.path === 'tunnel' ? reached : undefined;
    });
    expect(asked.endpoint).toBe(endpoint);
    expect(await inKernel(lab, 'sticky.shop')).toEqual({ endpoint, path: 'kernel' });

    // The next node program has forgotten everything but what the kernel has.
    const before = await lab.signal('node-a', 'SIGKILL', 'worker');
    expect((await lab.client('shop/web', 'greet', 'sticky.shop')).greeting?.local[0]).toBe(endpoint);
    await lab.replaced('node-a', before, 'worker');
    for (let i = 0; i < 5; i++) expect((await reach(lab, 'sticky.shop')).endpoint).toBe(endpoint);

    const gone = podAt(lab, endpoint, 'sticky-one', 'sticky-two');
    await lab.delete('pod', gone, '-n', 'shop');
    const next = await eventually('another endpoint', async () => {
      const reached = await reach(lab, 'sticky.shop');
      return reached.endpoint !== undefined && reached.endpoint !== endpoint ? reached.endpoint : undefined;
    });
    for (let i = 0; i < 5; i++) expect((await reach(lab, 'sticky.shop')).endpoint).toBe(next);
    expect(await inKernel(lab, 'sticky.shop')).toEqual({ endpoint: next, path: 'kernel' });
  },
);

scenario('a client that has made no connection for the timeout has its endpoint chosen anew', async (lab) => {
  const { endpoint } = await inKernel(lab, 'brief.shop');
  await delay(8100);
  // By the same rule from the same ones, which leads to the same one; by ztunnel, which is how it can be told.
  expect(await reach(lab, 'brief.shop')).toEqual({ endpoint, path: 'tunnel' });
  expect(await inKernel(lab, 'brief.shop')).toEqual({ endpoint, path: 'kernel' });
});
