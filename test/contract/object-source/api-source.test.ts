import { describe } from '@jest/globals';
import { apiPaths, type FakeServerOptions } from '../../support/fake-api-server.ts';
import { ApiRig, namespace } from './api-rig.ts';
import { describeSourceContract } from './source-contract.ts';

const servers: readonly (readonly [string, FakeServerOptions])[] = [
  ['over HTTP/2, streaming lists', { protocol: 'h2', streamsLists: true }],
  ['over HTTPS, listing in pages', { protocol: 'https', streamsLists: false }],
  ['over plain HTTP', { protocol: 'http', streamsLists: true }],
];

describe.each(servers)('an API server %s', (_name, options) => {
  describeSourceContract(async () => {
    const rig = await ApiRig.open(options);
    return {
      source: rig.source,
      putNamespace: (name, team) => rig.server.put(apiPaths.namespaces, namespace(name, team)),
      removeNamespace: (name) => rig.server.remove(apiPaths.namespaces, name),
      close: () => rig[Symbol.asyncDispose](),
    };
  });
});
