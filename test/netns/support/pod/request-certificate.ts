/**
 * Gets a certificate the way a workload with a join token does, and prints it with its key as JSON. Runs in a
 * network namespace that reaches the authority. Arguments: authority's address, roots file, token file, identity.
 */
import { systemClock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { CertificateManager } from '../../../../src/identity/certificate-manager.ts';
import { GrpcCaClient } from '../../../../src/identity/grpc-ca-client.ts';
import { parseSpiffeId } from '../../../../src/model/identity.ts';

const [address = '', rootsFile = '', tokenFile = '', identity = ''] = process.argv.slice(2);
const ca = new GrpcCaClient({ address, rootsFile, tokenFile });
const certificates = new CertificateManager({ ca, clock: systemClock, log: silentLogger });
const { certificateChain, privateKey, trustedRoots } = await certificates.get(parseSpiffeId(identity), {
  signal: AbortSignal.timeout(20_000),
});
process.stdout.write(`${JSON.stringify({ cert: certificateChain, key: privateKey, ca: trustedRoots })}\n`);
certificates.close();
ca.close();
