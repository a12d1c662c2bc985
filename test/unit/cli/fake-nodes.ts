/** Nodes for tests of the commands that ask them. */
import { certificate, connection, policy, service, status, workload } from './documents.ts';
import { document, type FakeNode, labNode } from './harness.ts';

export const list = (kind: string, ...items: readonly object[]): object => document(kind, { items });

/** A node that answers everything, and that all is well. */
export const fullNode = (node: string, answers: Record<string, object> = {}): FakeNode =>
  labNode(node, {
    '/v1/status': status(),
    '/v1/workloads': list('WorkloadList', workload('web-1')),
    '/v1/services': list('ServiceList', service('web')),
    '/v1/certs': list('CertificateList', certificate()),
    '/v1/policies': list('PolicyList', policy('db-allow')),
    '/v1/connections': document('ConnectionList', {
      live: [],
      recent: [connection('c-1')],
      last: 1,
      lost: 0,
    }),
    ...answers,
  });

export const twoNodes = [fullNode('node-a'), fullNode('node-b')];
