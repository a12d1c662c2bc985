/** The addon as an agent of another version would call it, whose maps have the layouts of the object `older` of `other-objects.ts`. */
import { type EarlierLayout, earlierLayout } from '../../../src/datapath/abi/earlier-layout.ts';
import { decode, encode, type Field } from '../../../src/datapath/abi/field.ts';
import { ended } from '../../../src/datapath/abi/layout.ts';
import { mapSpecs } from '../../../src/datapath/maps.ts';
import type { Fd, NativeBinding } from '../../../src/native/binding.ts';
import { native, objectPath } from './lab.ts';

interface Codec {
  readonly field: Field<unknown>;
  readonly theirs: EarlierLayout<unknown>;
}

interface Codecs {
  readonly key: Codec;
  readonly value: Codec;
}

/** Everything else in there is as it is. */
export function olderVersion(object: string): NativeBinding {
  const structs = native.btfStructs(object);
  const sizeOf = (name: string): number => structs.find((struct) => struct.name === name)?.sizeBytes ?? 0;
  const codecOf = (field: Field<unknown>): Codec => {
    const size = 'name' in field ? sizeOf(String(field.name)) : field.sizeBytes;
    const theirs = earlierLayout(field, structs, size);
    if (theirs === undefined) throw new Error('the changed struct cannot be read');
    return { field, theirs };
  };
  const specs = [mapSpecs.config, mapSpecs.pods, mapSpecs.flows, mapSpecs.strays, mapSpecs.accelerated, mapSpecs.sessions];
  const maps = new Map<string, Codecs>(
    specs.map(({ name, key, value }) => [
      name,
      { key: codecOf(key as Field<unknown>), value: codecOf(value as Field<unknown>) },
    ]),
  );
  const endedCodec = codecOf(ended);
  /** Of its own maps: it may be given some that are not. */
  const of = (fd: Fd): Codecs | undefined => {
    const { name, keySize, valueSize } = native.mapInfo(fd);
    const codecs = maps.get(name);
    const isOwn = codecs?.key.theirs.sizeBytes === keySize && codecs.value.theirs.sizeBytes === valueSize;
    return isOwn ? codecs : undefined;
  };
  const info: NativeBinding['mapInfo'] = (fd) => {
    const found = native.mapInfo(fd);
    const codecs = of(fd);
    return codecs === undefined
      ? found
      : { ...found, keySize: codecs.key.field.sizeBytes, valueSize: codecs.value.field.sizeBytes };
  };
  return {
    ...native,
    btfStructs: () => native.btfStructs(objectPath),
    mapInfo: info,
    mapLookup: (fd, key) => orNull(of(fd)?.value, native.mapLookup(fd, toTheirs(of(fd)?.key, key))),
    mapLookupAndDelete: (fd, key) =>
      orNull(of(fd)?.value, native.mapLookupAndDelete(fd, toTheirs(of(fd)?.key, key))),
    mapUpdate: (fd, key, value, flags) =>
      native.mapUpdate(fd, toTheirs(of(fd)?.key, key), toTheirs(of(fd)?.value, value), flags),
    mapDelete: (fd, key) => native.mapDelete(fd, toTheirs(of(fd)?.key, key)),
    mapUpdateBatch: (fd, keys, values, count) =>
      native.mapUpdateBatch(fd, toTheirs(of(fd)?.key, keys), toTheirs(of(fd)?.value, values), count),
    mapDeleteBatch: (fd, keys, count) => native.mapDeleteBatch(fd, toTheirs(of(fd)?.key, keys), count),
    mapDump(fd) {
      const { keys, values, count } = native.mapDump(fd);
      return { keys: toOurs(of(fd)?.key, keys), values: toOurs(of(fd)?.value, values), count };
    },
    openRingBuffer(map) {
      const ring = native.openRingBuffer(map);
      if (native.mapInfo(map).name !== mapSpecs.ended.name) return ring;
      return {
        ...ring,
        start: (heard) =>
          ring.start((bytes, ends) =>
            heard(toOurs(endedCodec, bytes), ends.map((_, i) => (i + 1) * endedCodec.field.sizeBytes)),
          ),
      };
    },
  };
}

const toTheirs = (codec: Codec | undefined, bytes: Uint8Array): Uint8Array =>
  codec === undefined ? bytes : each(bytes, codec.field.sizeBytes, (one) => given(codec, one));
const toOurs = (codec: Codec | undefined, bytes: Uint8Array): Uint8Array =>
  codec === undefined ? bytes : each(bytes, codec.theirs.sizeBytes, (one) => taken(codec, one));

const orNull = (codec: Codec | undefined, bytes: Uint8Array | null): Uint8Array | null =>
  bytes && toOurs(codec, bytes);

function each(bytes: Uint8Array, size: number, change: (one: Uint8Array) => Uint8Array): Uint8Array {
  const ones = Array.from({ length: bytes.length / size }, (_, i) => change(bytes.subarray(i * size, (i + 1) * size)));
  return new Uint8Array(Buffer.concat(ones));
}

function given({ field, theirs }: Codec, ours: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(theirs.sizeBytes);
  theirs.encode(decode(field, ours), bytes);
  return bytes;
}

const taken = ({ field, theirs }: Codec, bytes: Uint8Array): Uint8Array => encode(field, theirs.decode(bytes));
