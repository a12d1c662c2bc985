/** One row of what Istio documents. */

export interface Example {
  /** What it shows, in a few words. */
  readonly what: string;
  /** `KIND NAMESPACE/NAME: SPEC`, one object each; before the colon perhaps `dry-run`, and `of DATE` for its age. */
  readonly objects: readonly string[];
  readonly to?: string;
  /** `NAMESPACE/SERVICE-ACCOUNT` of the client, or `plaintext`; perhaps `@ADDRESS` and `:PORT` dialled (80). */
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
  /** What the status of the object says: the rule that made it stricter, or why it is not in force as written. */
  readonly said?: RegExp;
}

export type Examples = Readonly<Record<string, readonly Example[]>>;
