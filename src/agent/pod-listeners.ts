/** The three listening sockets of an enrolled pod, made inside its network namespace. */
import type { Port } from '../base/ip.ts';
import { hbonePort, outboundPort, plaintextPort } from '../base/ports.ts';
import type { PodListeners } from '../net/engine.ts';
import type { Fd, NativeBinding } from '../native/binding.ts';

/** Connections the kernel holds while the proxy is busy or coming back; bounded by net.core.somaxconn. */
const backlog = 4096;

type Native = Pick<NativeBinding, 'createSocket' | 'closeFd'>;

/** All three or none: what was made before a failure is closed. @throws NativeError */
export async function createListeners(native: Native, netns: string, ipv6: boolean): Promise<PodListeners> {
  const made: Fd[] = [];
  const listen = async (port: Port): Promise<Fd> => {
    const fd = await native.createSocket({
      netns,
      family: ipv6 ? 6 : 4,
      bindIp: null,
      bindPort: port,
      transparent: false,
      mark: 0,
      backlog,
      dualStack: ipv6,
    });
    made.push(fd);
    return fd;
  };
  try {
    return {
      outbound: await listen(outboundPort),
      plaintext: await listen(plaintextPort),
      hbone: await listen(hbonePort),
    };
  } catch (error) {
    made.forEach((fd) => native.closeFd(fd));
    throw error;
  }
}
