/** The connections the demo makes, in the order in which it tells them, and what is expected of each. */

export type Path = 'mTLS tunnel' | 'plaintext' | 'not captured';
/** What somebody who listens on the link between the nodes gets of it. */
export type OnTheLink = 'never crosses' | 'encrypted' | 'READABLE';

export interface Act {
  /** Pods, `NAMESPACE/NAME`. */
  readonly from: string;
  readonly to: string;
  readonly how: string;
  /** What the client asks; `{4}` and `{6}` stand for the called pod's addresses. */
  readonly url: string;
  readonly expect: { readonly path: Path; readonly link: OnTheLink };
}

const meshed = { path: 'mTLS tunnel', link: 'encrypted' } as const;

export const acts: readonly Act[] = [
  {
    from: 'shop/web',
    to: 'shop/cart-1',
    how: 'same node',
    url: 'http://{4}:8080/',
    expect: { path: 'mTLS tunnel', link: 'never crosses' },
  },
  {
    from: 'shop/cart-2',
    to: 'shop/web',
    how: 'other node, by Service name',
    url: 'http://web/',
    expect: meshed,
  },
  {
    from: 'shop/web',
    to: 'shop/cart-2',
    how: 'other node, by pod IP',
    url: 'http://{4}:8080/',
    expect: meshed,
  },
  {
    from: 'shop/web',
    to: 'shop/cart-2',
    how: 'other node, over IPv6',
    url: 'http://[{6}]:8080/',
    expect: meshed,
  },
  {
    from: 'legacy/batch',
    to: 'shop/cart-2',
    how: 'from outside the mesh',
    url: 'http://{4}:8080/',
    expect: { path: 'plaintext', link: 'READABLE' },
  },
  {
    from: 'shop/web',
    to: 'legacy/printer',
    how: 'to outside the mesh',
    url: 'http://printer.legacy/',
    expect: { path: 'not captured', link: 'READABLE' },
  },
  {
    from: 'legacy/batch',
    to: 'legacy/printer',
    how: 'both outside the mesh',
    url: 'http://printer/',
    expect: { path: 'not captured', link: 'READABLE' },
  },
];

/** The transfer at the end, both ways at once. */
export const transfer = { from: 'shop/web', to: 'shop/db', target: 'db:9000', megabytes: 200 } as const;
