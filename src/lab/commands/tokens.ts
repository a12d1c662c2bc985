/** Join tokens: each node has a secret, the controller has the hashes. Made anew with every lab. */
import { createHash, randomBytes } from 'node:crypto';
import type { LabLayout } from '../layout.ts';
import { writeFileAtomically } from '../system/atomic-file.ts';
import type { LabNode } from '../topology.ts';

const tokenBytes = 32;

export async function writeTokens(layout: LabLayout, nodes: readonly LabNode[]): Promise<void> {
  const hashes: Record<string, string> = {};
  for (const { name } of nodes) {
    const token = randomBytes(tokenBytes).toString('hex');
    hashes[name] = createHash('sha256').update(token).digest('hex');
    await writeFileAtomically(layout.node(name).tokenFile, token, { mode: 0o600 });
  }
  const text = JSON.stringify({ nodes: hashes, serviceAccounts: {} });
  await writeFileAtomically(layout.tokens, `${text}\n`, { mode: 0o600 });
}
