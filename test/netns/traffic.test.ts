/** What applications see: every way to use TCP works through the mesh as it does without. */
import { describe, expect } from '@jest/globals';
import { type ClientAnswer, type ServerEvent, labSuite } from './support/lab.ts';
import { namespace, pod, serverPod, service } from './support/manifest.ts';
import { eventually } from './support/wait.ts';

const bulkServer = '[mesh-ebpf, lab-app, bulk]';
const odd = [7000, 7001, 7002, 7003, 7004, 7005];

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/near', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  pod('shop/bulk', { node: 'node-b', command: bulkServer, readyPort: 9000 }),
  ...['near', 'cart'].map((name) => service(`shop/${name}`, odd)),
  service('shop/bulk', [9000]),
  service('shop/nobody', [80]),
  namespace('legacy', 'none'),
  pod('legacy/old', { node: 'node-a' }),
  serverPod('legacy/db', { node: 'node-b' }),
  service('legacy/db', odd),
);

const identity = (path: string): string => `spiffe://cluster.local/ns/${path.split('/')[0]}/sa/default`;

const refusals = ['ECONNREFUSED', 'ECONNRESET'];

/** In seconds: a dial that nobody answers takes ten. */
const atOnce = 8;

describe('a connection between two pods of the mesh', () => {
  scenario(
    'goes through an mTLS tunnel to another node, and both sides know who the other is',
    async (lab) => {
      const { greeting, own } = await lab.client('shop/web', 'greet', ['cart', 4]);
      expect(greeting?.client[0]).toBe(lab.pod('shop/web').ip4);
      const { out, into } = await lab.tunnelled(own?.[1]);
      expect(out).toMatchObject({ direction: 'outbound', path: 'tunnel', service: 'shop/cart', error: null });
      expect(into).toMatchObject({ direction: 'inbound', path: 'tunnel', outcome: 'completed' });
      expect(into.source.identity).toBe(identity('shop/web'));
      expect(out.destination.identity).toBe(identity('shop/cart'));
    },
  );

  scenario('reaches a Service by its short, its namespaced and its full name', async (lab) => {
    for (const name of ['cart', 'cart.shop', 'cart.shop.svc', 'cart.shop.svc.cluster.local']) {
      expect((await lab.client('shop/web', 'greet', [name, 4])).greeting?.local[0]).toBe(
        lab.pod('shop/cart').ip4,
      );
    }
  });

  scenario('reaches a Service over IPv6, and the server sees the IPv6 address of the client', async (lab) => {
    const { greeting, peer } = await lab.client('shop/web', 'greet', ['cart', 6]);
    expect(peer?.[0]).toMatch(/^fd10:96::/);
    expect(greeting?.client[0]).toBe(lab.pod('shop/web').ip6);
    expect(greeting?.local).toEqual([lab.pod('shop/cart').ip6, 7001]);
  });

  scenario('reaches a pod by its IPv4 and by its IPv6 address', async (lab) => {
    const { ip4, ip6 } = lab.pod('shop/cart');
    for (const ip of [ip4, ip6]) {
      const { peer, greeting } = await lab.client('shop/web', 'greet', ip);
      expect(peer).toEqual([ip, 7001]);
      expect(greeting?.local).toEqual([ip, 7001]);
    }
  });

  scenario('reaches a pod of the same node, over IPv4 and IPv6', async (lab) => {
    const { ip4, ip6 } = lab.pod('shop/web');
    expect((await lab.client('shop/web', 'greet', ['near', 4])).greeting?.client[0]).toBe(ip4);
    expect((await lab.client('shop/web', 'greet', ['near', 6])).greeting?.client[0]).toBe(ip6);
  });

  scenario(
    'reaches the pod itself, by its own address and by a Service of which it is the endpoint',
    async (lab) => {
      const { ip4 } = lab.pod('shop/cart');
      expect((await lab.client('shop/cart', 'greet', ip4)).greeting?.local).toEqual([ip4, 7001]);
      expect((await lab.client('shop/cart', 'greet', ['cart', 4])).greeting?.local).toEqual([ip4, 7001]);
    },
  );

  scenario('shows the application the address it dialled and its own', async (lab) => {
    const { peer, own, greeting } = await lab.client('shop/web', 'greet', ['cart', 4]);
    expect(peer?.[0]).toMatch(/^10\.96\./);
    expect(peer?.[1]).toBe(7001);
    expect(own?.[0]).toBe(lab.pod('shop/web').ip4);
    expect(greeting?.client[0]).toBe(lab.pod('shop/web').ip4);
  });
});

describe('a connection across the border of the mesh', () => {
  scenario('is admitted as plaintext without an identity when it comes from outside', async (lab) => {
    const { ip4 } = lab.pod('legacy/old');
    for (const host of [lab.pod('shop/cart').ip4, 'cart.shop']) {
      const { greeting, own } = await lab.client('legacy/old', 'greet', [host, 4]);
      expect(greeting?.client[0]).toBe(ip4);
      const found = await lab.plaintext('node-b', own?.[1]);
      expect(found).toMatchObject({ direction: 'inbound', path: 'direct', error: null });
      expect(found.source.identity).toBeNull();
    }
  });

  scenario('is not captured at all when it goes out', async (lab) => {
    const before = (await lab.connections('node-a')).length;
    for (const host of [lab.pod('legacy/db').ip4, 'db.legacy']) {
      const { greeting, own } = await lab.client('shop/web', 'greet', [host, 4]);
      expect(greeting?.client).toEqual([lab.pod('shop/web').ip4, own?.[1]]);
    }
    // A captured connection afterwards shows that the list would have told of the others.
    const { own } = await lab.client('shop/web', 'greet', 'cart');
    await lab.tunnelled(own?.[1]);
    expect((await lab.connections('node-a')).length).toBe(before + 1);
  });
});

describe('an application', () => {
  scenario('that ends its own direction first gets the whole answer', async (lab) => {
    for (const host of ['near', 'cart']) {
      const { answer, ...rest } = await lab.client<ClientAnswer & { readonly expected: string }>(
        'shop/web',
        'half_close',
        host,
        7003,
        3_000_000,
      );
      expect(answer).toBe(rest.expected);
    }
  });

  scenario('sees a reset of the server as a reset, and the server one of the client', async (lab) => {
    const { ip4, ip6 } = lab.pod('shop/web');
    for (const host of ['near', 'cart']) {
      expect(await lab.client('shop/web', 'be_reset', host)).toMatchObject({ error: 'ECONNRESET' });
      // Readiness probes dial the same port: only the client's own connections tell.
      const endings = (): readonly ServerEvent[] =>
        lab
          .events(`shop/${host}`)
          .filter(({ event, port }) => event === 'ended' && port === 7000)
          .filter(({ client }) => [ip4, ip6].includes(client?.[0] ?? ''));
      const before = endings().length;
      await lab.client('shop/web', 'reset', host, 7000);
      await eventually('the end of the connection at the server', () => endings()[before]);
      expect(endings()[before]).toMatchObject({ how: 'reset', bytes: 0 });
    }
  });

  scenario('may wait for a server that speaks first, or talk to one that never does', async (lab) => {
    expect((await lab.client('shop/web', 'greet', 'cart', 7001)).greeting?.local[1]).toBe(7001);
    const idle = await lab.client<ClientAnswer & { readonly read: null }>(
      'shop/web',
      'idle',
      ['cart', 4],
      7002,
      1.5,
    );
    expect(idle.read).toBeNull();
    expect(idle.peer?.[1]).toBe(7002);
  });

  scenario('gets everything a server sent before it closed', async (lab) => {
    expect(await lab.client('shop/web', 'drain', 'cart', 7005)).toMatchObject({ bytes: 16 * 1024 * 1024 });
  });

  scenario('may use a non-blocking connect()', async (lab) => {
    const answer = await lab.client<ClientAnswer & { readonly codes: readonly unknown[] }>(
      'shop/web',
      'nonblocking',
      ['cart', 4],
      7001,
    );
    expect(answer.codes).toEqual(['EINPROGRESS', 0, 0, 'EISCONN']);
    expect(answer.peer?.[0]).toMatch(/^10\.96\./);
    expect(answer.greeting?.local).toEqual([lab.pod('shop/cart').ip4, 7001]);
  });

  scenario('may connect one socket twice, to two hosts', async (lab) => {
    const { first, second } = await lab.client<{
      readonly first: ClientAnswer;
      readonly second: ClientAnswer;
    }>('shop/web', 'twice', lab.pod('shop/cart').ip4, 7001, lab.pod('shop/near').ip4);
    expect(first.greeting?.local[0]).toBe(lab.pod('shop/cart').ip4);
    expect(second.greeting?.local[0]).toBe(lab.pod('shop/near').ip4);
    expect(second.peer?.[0]).toBe(lab.pod('shop/near').ip4);
  });

  scenario('may bind an address and a port before it connects', async (lab) => {
    const { ip4, ip6 } = lab.pod('shop/web');
    for (const [version, ip] of [
      [4, ip4],
      [6, ip6],
    ] as const) {
      const { own, greeting } = await lab.client('shop/web', 'bound', ['cart', version], 7001, ip, 40_100);
      expect(own).toEqual([ip, 40_100]);
      expect(greeting?.client[0]).toBe(ip);
    }
  });

  scenario('may use TCP Fast Open', async (lab) => {
    const { ip4 } = lab.pod('shop/cart');
    expect(await lab.client('shop/web', 'fastopen', ip4, 7000)).toMatchObject({
      answer: 'early',
      peer: [ip4, 7000],
    });
  });

  scenario('is refused at once where nobody listens', async (lab) => {
    const ends = [lab.pod('shop/cart').ip4, lab.pod('shop/cart').ip6, 'cart', lab.pod('shop/near').ip4];
    for (const host of ends) {
      const { error, seconds } = await lab.client('shop/web', 'greet', host, 7999);
      expect(refusals).toContain(error);
      expect(seconds).toBeLessThan(atOnce);
    }
  });

  scenario('is refused at once by a Service without endpoints', async (lab) => {
    const { error, seconds } = await lab.client('shop/web', 'greet', 'nobody', 80);
    expect(refusals).toContain(error);
    expect(seconds).toBeLessThan(atOnce);
    const found = await lab.record('node-a', 'the refusal', ({ service: to }) => to === 'shop/nobody');
    expect(found.error?.code).toBe('NO_HEALTHY_ENDPOINT');
  });
});

describe('a transfer in both directions at once', () => {
  scenario('of 200 MB each way arrives whole', async (lab) => {
    const { stdout } = await lab.exec('shop/web', [
      'mesh-ebpf',
      'lab-app',
      'transfer',
      'bulk:9000',
      '--megabytes',
      '200',
    ]);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      megabytes: 200,
      sentWhole: true,
      receivedWhole: true,
    });
  });

  // The windows of HTTP/2 and the sockets' buffers together hold less than what is under way here.
  for (const { connections, megabytes } of [
    { connections: 1, megabytes: 16 },
    { connections: 50, megabytes: 0.5 },
  ]) {
    scenario(`finishes 15 of 15 times with ${connections} connections`, async (lab) => {
      const bytes = megabytes * 1024 * 1024;
      for (let run = 0; run < 15; run++) {
        const { results } = await lab.client<{ readonly results: readonly string[] }>(
          'shop/web',
          'bulk',
          'bulk',
          9000,
          connections,
          bytes,
        );
        expect(results).toEqual(Array.from({ length: connections }, () => 'ok'));
      }
    });
  }
});

describe('a node’s metrics', () => {
  const page = `import urllib.request as r; print(r.urlopen('http://localhost:15020/metrics').read().decode())`;

  scenario(
    'tell of its connections, and how full its BPF maps are',
    async (lab) => {
      const scrape = async (): Promise<string> =>
        (await lab.onNode('node-a', ['python3', '-c', page]).finished).stdout;
      const pods = 'mesh_bpf_map_entries{map="pods"} 2\n';
      const metrics = await eventually(
        'the two pods of node-a in its metrics',
        async () => [await scrape()].find((text) => text.includes(pods)),
        35_000, // maps are counted every half minute
      );
      for (const map of ['pods', 'local_pods', 'destinations', 'listeners', 'flows']) {
        expect(metrics).toMatch(new RegExp(`^mesh_bpf_map_entries\\{map="${map}"\\} \\d+$`, 'm'));
      }
      expect(metrics).toMatch(/^mesh_bpf_map_max_entries\{map="flows"\} 65536$/m);
      expect(metrics).toMatch(/^istio_tcp_connections_opened_total\{reporter="source",.*\} [1-9]/m);
    },
    45_000,
  );
});
