/**
 * Compares the codecs with the structs of a compiled BPF object, from its BTF. An agent with other ideas of a
 * layout than the kernel side would write nonsense into maps that decide about traffic, so it does not start.
 */
import { MeshError } from '../../base/errors.ts';
import type { BtfStruct } from '../../native/binding.ts';
import type { StructLayout } from './struct.ts';
import { structs } from './layout.ts';

/** Each difference as a sentence; empty when the two sides agree. Padding (members named `pad…`) is not compared. */
export function layoutDifferences(
  btf: readonly BtfStruct[],
  expected: readonly StructLayout[] = structs,
): string[] {
  const byName = new Map(btf.map((type) => [type.name, type]));
  return expected.flatMap((codec) => {
    const type = byName.get(codec.name);
    return type === undefined ? [`the object has no struct ${codec.name}`] : structDifferences(codec, type);
  });
}

/** @throws MeshError ABI_MISMATCH naming every difference. */
export function assertSameLayout(btf: readonly BtfStruct[], objectPath: string): void {
  const differences = layoutDifferences(btf);
  if (differences.length === 0) return;
  throw new MeshError('ABI_MISMATCH', `${objectPath} does not fit this agent: ${differences.join('; ')}`, {
    hint: 'install the BPF object that was built together with this agent',
  });
}

function structDifferences(codec: StructLayout, type: BtfStruct): string[] {
  const inObject = type.members
    .filter((member) => !member.name.startsWith('pad'))
    .map((member) => describe(codec.name, member.name, member.offsetBits / 8, member.sizeBytes));
  const inCodec = codec.members.map((member) =>
    describe(codec.name, member.name, member.offsetBytes, member.sizeBytes),
  );
  return [
    ...inObject.filter((member) => !inCodec.includes(member)).map((member) => `the object has ${member}`),
    ...inCodec.filter((member) => !inObject.includes(member)).map((member) => `the agent has ${member}`),
    ...(codec.sizeBytes === type.sizeBytes
      ? []
      : [`${codec.name} has ${type.sizeBytes} bytes in the object, ${codec.sizeBytes} in the agent`]),
  ];
}

const describe = (struct: string, member: string, offset: number, size: number): string =>
  `${struct}.${member} at byte ${offset} (${size} bytes)`;
