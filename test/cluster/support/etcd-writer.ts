/**
 * Writes objects where the API server reads them, in etcd: ten thousand pods take a few seconds instead of twenty
 * thousand requests. Nobody checks them or fills them in, so they have to be complete. JSON: the API server reads either
 * encoding.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Client, credentials } from '@grpc/grpc-js';
import { readFileSync } from 'node:fs';
import { type ClusterLayout, network } from '../plan/layout.ts';

export interface Stored {
  /** Below `/registry/`: `pods/NAMESPACE/NAME`. */
  readonly key: string;
  readonly object: object;
}

/** etcd takes 128 operations and 1.5 MiB at once. */
const atOnce = 100;
const patienceMs = 60_000;

export class EtcdWriter implements Disposable {
  readonly #client: Client;

  constructor(layout: ClusterLayout) {
    const [ca, key, certificate] = [
      'etcd-ca.crt',
      'apiserver-etcd-client.key',
      'apiserver-etcd-client.crt',
    ].map((file) => readFileSync(layout.pki(file)));
    this.#client = new Client(
      `127.0.0.1:${network.etcdPort}`,
      credentials.createSsl(ca ?? null, key ?? null, certificate ?? null),
      // An address is no name that TLS could ask for.
      { 'grpc.ssl_target_name_override': 'localhost' },
    );
  }

  /** @throws Error with etcd's words; what was written before stays */
  async put(all: readonly Stored[]): Promise<void> {
    for (let i = 0; i < all.length; i += atOnce) await this.#commit(puts(all.slice(i, i + atOnce)));
  }

  /** Everything whose key begins so: whoever watches is told of each. @throws Error with etcd's words */
  deleteBelow(key: string): Promise<void> {
    return this.#commit(deletion(key));
  }

  #commit(transaction: Uint8Array): Promise<void> {
    const deadline = Date.now() + patienceMs;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        '/etcdserverpb.KV/Txn',
        (bytes: Buffer) => bytes,
        (bytes) => bytes,
        Buffer.from(transaction),
        { deadline },
        (error) => (error === null ? resolve() : reject(new Error(`etcd: ${error.message}`))),
      );
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** .request_delete_range (3) of DeleteRangeRequest.key (1) and .range_end (2), which is not in it. */
function deletion(prefix: string): Uint8Array {
  const request = new BinaryWriter();
  request.tag(2, WireType.LengthDelimited).fork().tag(3, WireType.LengthDelimited).fork();
  request.tag(1, WireType.LengthDelimited).string(`${root}${prefix}/`);
  // The character after the slash.
  request.tag(2, WireType.LengthDelimited).string(`${root}${prefix}0`);
  return request.join().join().finish();
}

const root = '/registry/';

/** rpc.proto of etcd: TxnRequest.success (2) of RequestOp.request_put (2) of PutRequest.key (1) and .value (2). */
function puts(some: readonly Stored[]): Uint8Array {
  const request = new BinaryWriter();
  for (const { key, object } of some) {
    request.tag(2, WireType.LengthDelimited).fork().tag(2, WireType.LengthDelimited).fork();
    request.tag(1, WireType.LengthDelimited).string(`${root}${key}`);
    request.tag(2, WireType.LengthDelimited).string(JSON.stringify(object));
    request.join().join();
  }
  return request.finish();
}
