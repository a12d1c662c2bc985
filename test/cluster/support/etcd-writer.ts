/**
 * Writes objects where the API server reads them, in etcd: ten thousand pods take seconds instead of twenty thousand
 * requests. Nobody checks them or fills them in, so they have to be complete. JSON: the API server reads either encoding.
 * Each object has a transaction, and so a version, of its own, as the API server's writes have: whoever resumes a watch
 * from a version counts on having had everything of that version.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Client, credentials } from '@grpc/grpc-js';
import { readFileSync } from 'node:fs';
import { mapLimited } from '../../../src/base/map-limited.ts';
import { type ClusterLayout, network } from '../plan/layout.ts';

export interface Stored {
  /** Below `/registry/`: `pods/NAMESPACE/NAME`. */
  readonly key: string;
  readonly object: object;
}

const underWay = 64;
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
    await mapLimited(all, underWay, (stored) => this.#commit(put(stored)));
  }

  /** Those that are there. @throws Error with etcd's words */
  async delete(all: readonly Stored[]): Promise<void> {
    await mapLimited(all, underWay, ({ key }) => this.#commit(deletion(key)));
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

const root = '/registry/';

/** rpc.proto of etcd: TxnRequest.success (2) of RequestOp.request_put (2) of PutRequest.key (1) and .value (2). */
function put({ key, object }: Stored): Uint8Array {
  const request = new BinaryWriter();
  request.tag(2, WireType.LengthDelimited).fork().tag(2, WireType.LengthDelimited).fork();
  request.tag(1, WireType.LengthDelimited).string(`${root}${key}`);
  request.tag(2, WireType.LengthDelimited).string(JSON.stringify(object));
  return request.join().join().finish();
}

/** .request_delete_range (3) of DeleteRangeRequest.key (1). */
function deletion(key: string): Uint8Array {
  const request = new BinaryWriter();
  request.tag(2, WireType.LengthDelimited).fork().tag(3, WireType.LengthDelimited).fork();
  request.tag(1, WireType.LengthDelimited).string(`${root}${key}`);
  return request.join().join().finish();
}
