/**
 * A worker for the keeper's tests. Prints JSON lines; does what each line of standard input says:
 * `listen NAME`, `memory NAME BYTES`, `file NAME`, `take NAME`, `serve NAME`, `drop PREFIX`, `ready`, `raw TEXT`,
 * `linger` (a first signal to stop ends nothing), `restarts`, `done`.
 */
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { silentLogger } from '../../../src/base/log.ts';
import type { Fd } from '../../../src/native/binding.ts';
import { connectKeeper } from '../../../src/native/keeper.ts';
import { native } from './addon.ts';
import { loopbackListener } from './specs.ts';

const place = process.env['MESH_EBPF_KEEPER'];
const keeper = connectKeeper({ native, log: silentLogger }, place);
const channel = Number(place?.split(' ')[0]) as Fd;
const taken = new Map<string, Fd>();

const tell = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

function take(name: string): object {
  const fd = keeper.take(name);
  if (fd === undefined) return { taken: null };
  taken.set(name, fd);
  return { taken: name };
}

function serve(name: string): object {
  const fd = taken.get(name) ?? keeper.take(name);
  if (fd === undefined) return { taken: null };
  createServer((socket) => socket.end(`served by ${process.pid}`)).listen({ fd });
  return { served: name };
}

async function act(command: string, name: string, argument: string): Promise<object> {
  switch (command) {
    case 'listen': {
      const fd = await native.createSocket(loopbackListener);
      keeper.hold(name, fd);
      return { port: native.socketName(fd).port };
    }
    case 'memory':
      keeper.hold(name, native.sealedMemory(new Uint8Array(Number(argument))));
      return { done: command };
    case 'file':
      keeper.hold(name, native.openPath('/dev/null'));
      return { done: command };
    case 'take':
      return take(name);
    case 'serve':
      return serve(name);
    case 'drop':
      keeper.drop(name);
      return { done: command };
    case 'restarts':
      return { restarts: keeper.restarts };
    case 'ready':
      keeper.ready();
      return { done: command };
    case 'linger':
      process.removeAllListeners('SIGTERM');
      process.once('SIGTERM', () => tell({ said: 'asked to stop' }));
      return { done: command };
    case 'done':
      setImmediate(() => process.exit(0));
      return { done: command };
    case 'raw':
      native.sendMessage(channel, name, null);
      return { done: command };
    default:
      throw new Error(`unknown command ${command}`);
  }
}

process.once('SIGTERM', () => process.exit(7));
createInterface(process.stdin).on('line', (line) => {
  const [command = '', name = '', argument = ''] = line.split(' ');
  void act(command, name, argument).then(tell);
});
tell({ started: process.pid });
