/** The program as a process: what it prints arrives whole, however slowly it is read. */
import { afterAll, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adminApiVersion, type ServiceList } from '../../../src/telemetry/admin-api.ts';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-output-'));
const socket = join(directory, 'admin.sock');

const services: ServiceList = {
  apiVersion: adminApiVersion,
  kind: 'ServiceList',
  node: 'node-a',
  time: '2026-01-01T00:00:00.000Z',
  items: Array.from({ length: 4000 }, (_, index) => ({
    namespace: 'shop',
    name: `service-${index}`,
    hostname: `service-${index}.shop.svc.cluster.local`,
    vips: [],
    ports: [],
    endpoints: [],
  })),
};
const server = createServer((_, response) => response.end(JSON.stringify(services)));

afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

it('prints a long list whole into a pipe that is read slowly', async () => {
  await once(server.listen(socket), 'listening');
  const argv = ['--disable-warning=ExperimentalWarning', main, 'services', '-o', 'json', '--socket', socket];
  const command = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  command.stdout.once('data', () => {
    // Long enough for the pipe to fill, and for a program that does not wait to be gone.
    command.stdout.pause();
    setTimeout(() => command.stdout.resume(), 500);
  });
  command.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(command, 'close');
  const { items } = JSON.parse(text) as { readonly items: readonly unknown[] };
  expect(items).toHaveLength(4000);
}, 60_000);
