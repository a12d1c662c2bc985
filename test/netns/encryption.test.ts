/** What an eavesdropper on the link between two nodes gets to read. */
import { describe, expect } from '@jest/globals';
import { LinkCapture } from './support/capture.ts';
import { type Lab, labSuite } from './support/lab.ts';
import { namespace, pod, serverPod, service } from './support/manifest.ts';

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  service('shop/cart', [7000]),
  namespace('legacy', 'none'),
  pod('legacy/old', { node: 'node-a' }),
  serverPod('legacy/db', { node: 'node-b' }),
  service('legacy/db', [7000]),
);

/** Sends a text there and back; who sends it over which path is in the text. */
async function say(
  lab: Lab,
  from: string,
  to: string | readonly [string, 4 | 6],
  text: string,
): Promise<void> {
  const { answer, error } = await lab.client(from, 'exchange', to, 7000, text);
  expect({ answer, error }).toEqual({ answer: text, error: undefined });
}

describe('on the link between the nodes', () => {
  scenario('nothing of what meshed pods say can be read, and all of what others say', async (lab) => {
    const capture = await LinkCapture.start('tcp or udp');
    try {
      const { ip4, ip6 } = lab.pod('shop/cart');
      await say(lab, 'shop/web', ['cart', 4], 'SECRET by service');
      await say(lab, 'shop/web', ['cart', 6], 'SECRET by service over IPv6');
      await say(lab, 'shop/web', ip4, 'SECRET by address');
      await say(lab, 'shop/web', ip6, 'SECRET by IPv6 address');
      await say(lab, 'legacy/old', ['db', 4], 'PUBLIC by service');
      await say(lab, 'legacy/old', ['db', 6], 'PUBLIC over IPv6');
      await say(lab, 'legacy/old', ip4, 'PUBLIC into the mesh');
      await say(lab, 'shop/web', lab.pod('legacy/db').ip4, 'PUBLIC out of the mesh');
      await capture.seen('PUBLIC out of the mesh');
      // There and back: each is on the wire twice.
      for (const text of ['by service', 'over IPv6', 'into the mesh', 'out of the mesh']) {
        expect(capture.count(`PUBLIC ${text}`)).toBe(2);
      }
      expect(capture.count('SECRET')).toBe(0);
    } finally {
      await capture.stop();
    }
  });

  scenario('meshed pods talk to port 15008 only, and in TLS', async (lab) => {
    const { ip4 } = lab.pod('shop/cart');
    const [all, other] = await Promise.all([
      LinkCapture.start(`host ${ip4} and tcp port 15008`),
      LinkCapture.start(`host ${ip4} and not tcp port 15008`),
    ]);
    try {
      const held = await lab.start('shop/web', 'hold', ip4, 7000, 20);
      await held.stop();
      await say(lab, 'legacy/old', ip4, 'the last word, in clear');
      await other.seen('the last word, in clear');
      expect(all.bytes).toBeGreaterThan(2000);
      expect(all.count('message')).toBe(0);
      expect(other.count('message')).toBe(0);
    } finally {
      await Promise.all([all.stop(), other.stop()]);
    }
  });
});
